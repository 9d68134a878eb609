//! Reports to render: with ordinary, long and hostile text.

use picket_domain::{
    Coverage, CoverageState, Gap, Location, Plan, Protocol, ScanId, Service, Severity, SeverityCounts,
};
use picket_renderer::{FindingEntry, Logo, ReportModel, ScanSection};

/// Title, severity, score, CVE, port, description, evidence, remediation.
type Sample =
    (&'static str, Severity, Option<f64>, Option<&'static str>, u16, &'static str, &'static str, &'static str);

const SAMPLES: [Sample; 12] = [
    (
        "Apache HTTP Server 2.4.49 allows path traversal and remote code execution",
        Severity::Critical,
        Some(9.8),
        Some("CVE-2021-41773"),
        8080,
        "A flaw in the normalization of paths lets a request reach files outside the directories that are configured by alias. Where CGI scripts are enabled for these paths, the flaw allows remote code execution.\nThe version was taken from the banner of the service. A distribution may have fixed the flaw without a new version number.",
        "HTTP/1.1 200 OK\nServer: Apache/2.4.49 (Unix)\nDate: Thu, 15 Jan 2026 14:30:51 GMT\nContent-Type: text/html\n\nroot:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin",
        "Upgrade Apache HTTP Server to 2.4.51 or later. Until then, deny access to the file system outside the document root with Require all denied.",
    ),
    (
        "TLS certificate has expired",
        Severity::High,
        Some(7.4),
        None,
        8443,
        "The certificate that the service presents was valid until 1 March 2024. Clients that check it refuse the connection; clients that do not can be led to an impostor.",
        "subject=CN=demo.example.com\nissuer=CN=demo.example.com\nnotBefore=Mar  1 00:00:00 2023 GMT\nnotAfter=Mar  1 00:00:00 2024 GMT",
        "Renew the certificate, and automate its renewal.",
    ),
    (
        "Directory of version control is readable: /.git/",
        Severity::High,
        Some(7.5),
        None,
        8080,
        "The folder of the version control system can be read by everyone, and with it the source code and its history.",
        "GET /.git/HEAD -> 200\nref: refs/heads/main",
        "Remove the folder from the document root, or deny access to it. Consider every secret in the history as known.",
    ),
    (
        "Redis answers commands without authentication",
        Severity::High,
        Some(8.1),
        None,
        6379,
        "Everyone who reaches the port can read and change all data.",
        "redis_version:7.0.15\nos:Linux 6.1.0\ntcp_port:6379",
        "Bind the service to a private address, require authentication, and filter the port.",
    ),
    (
        "TLS certificate is self-signed",
        Severity::Medium,
        Some(5.9),
        None,
        8443,
        "No authority vouches for the certificate.",
        "subject and issuer are the same: CN=demo.example.com",
        "Use a certificate of an authority that your clients trust.",
    ),
    (
        "TLS 1.0 is offered",
        Severity::Medium,
        Some(4.8),
        None,
        8443,
        "The protocol has known weaknesses and is deprecated by RFC 8996.",
        "TLSv1.0 ECDHE-RSA-AES256-SHA",
        "Offer TLS 1.2 and 1.3 only.",
    ),
    (
        "Header Content-Security-Policy is missing",
        Severity::Medium,
        Some(4.3),
        None,
        8080,
        "Without the header, injected scripts run unhindered.",
        "HTTP/1.1 200 OK\nServer: Apache/2.4.49 (Unix)",
        "Send a Content-Security-Policy that allows what the site needs.",
    ),
    (
        "Backup archive is readable: /backup/site-2025-12-24.tar.gz",
        Severity::Medium,
        Some(5.3),
        None,
        8080,
        "An archive of the site can be downloaded by everyone.",
        "GET /backup/site-2025-12-24.tar.gz -> 200, 18,204,113 bytes",
        "Move backups out of the document root.",
    ),
    (
        "SSH offers weak key exchange: diffie-hellman-group1-sha1",
        Severity::Low,
        Some(3.7),
        None,
        2222,
        "The group of 1024 bits is within reach of strong attackers.",
        "kex_algorithms: curve25519-sha256, diffie-hellman-group1-sha1",
        "Remove the algorithm from the server's configuration.",
    ),
    (
        "Header Strict-Transport-Security is missing",
        Severity::Low,
        Some(3.1),
        None,
        8443,
        "A first visit may go over plain HTTP.",
        "HTTP/1.1 200 OK",
        "Send the header with a long max-age.",
    ),
    (
        "Open port 6379/tcp (redis)",
        Severity::Info,
        None,
        None,
        6379,
        "The port accepts connections.",
        "6379/tcp open redis",
        "",
    ),
    (
        "Open port 2222/tcp (ssh)",
        Severity::Unknown,
        None,
        None,
        2222,
        "The port accepts connections.",
        "2222/tcp open ssh OpenSSH 9.2p1",
        "",
    ),
];

fn scan_id(number: usize) -> ScanId {
    format!("scan_000000000000000000000000{number:02}").parse().unwrap()
}

/// The `number`th finding of any report.
pub(crate) fn finding(number: usize) -> FindingEntry {
    let (title, severity, cvss, cve, port, description, evidence, remediation) = SAMPLES[number % SAMPLES.len()];
    let service = (port == 8080).then(|| Service {
        name: Some("http".to_owned()),
        product: Some("Apache httpd".to_owned()),
        version: Some("2.4.49".to_owned()),
        extra_info: Some("Unix".to_owned()),
        cpe: vec!["cpe:/a:apache:http_server:2.4.49".to_owned()],
    });
    FindingEntry {
        id: format!("vuln_0000000000000000000000{number:04}").parse().unwrap(),
        rule: format!("sample.rule_{}", number % SAMPLES.len()),
        title: title.to_owned(),
        severity,
        cve: cve.map(str::to_owned),
        cvss,
        location: Location {
            host: format!("app{}.example.com", number / SAMPLES.len()),
            port: Some(port),
            protocol: Some(Protocol::Tcp),
            url: None,
        },
        subject: String::new(),
        description: description.to_owned(),
        evidence: evidence.to_owned(),
        remediation: remediation.to_owned(),
        service,
        scan_ids: vec![scan_id(1)],
        first_seen_at: "2026-01-15T14:31:00Z".parse().unwrap(),
    }
}

/// A scan that looked at everything.
pub(crate) fn scan(number: usize, target: &str) -> ScanSection {
    ScanSection {
        id: scan_id(number),
        number: i64::try_from(number).unwrap(),
        target: target.to_owned(),
        plan: Plan::Custom,
        tool: Some("nmap".to_owned()),
        status: "completed".to_owned(),
        failure: None,
        started_at: Some("2026-01-15T14:30:00Z".parse().unwrap()),
        ended_at: Some("2026-01-15T14:32:04Z".parse().unwrap()),
        coverage: vec![row("nmap", target, CoverageState::Done, None)],
    }
}

/// A row of coverage.
pub(crate) fn row(tool: &str, target: &str, state: CoverageState, reason: Option<Gap>) -> Coverage {
    Coverage { tool: tool.to_owned(), target: target.to_owned(), state, reason, detail: None }
}

/// A report of one scan with the first `count` findings.
pub(crate) fn report(count: usize) -> ReportModel {
    let mut model = ReportModel {
        id: "rep_0000000000000000000000000a".parse().unwrap(),
        number: 7,
        title: "Security assessment report".to_owned(),
        company_name: "Northwind Logistics".to_owned(),
        logo: None,
        generated_at: "2026-01-15T15:04:05Z".parse().unwrap(),
        include_executive_summary: true,
        include_technical_details: true,
        scans: vec![scan(1, "example.com")],
        counts: SeverityCounts::default(),
        findings: (0..count).map(finding).collect(),
        omitted_findings: 0,
        warnings: Vec::new(),
    };
    count_again(&mut model);
    model
}

/// Sorts and counts after the findings were changed.
pub(crate) fn count_again(model: &mut ReportModel) {
    model.sort();
    model.counts = SeverityCounts::default();
    model.findings.iter().for_each(|finding| model.counts.add(finding.severity, 1));
}

/// A report of several scans with gaps, a logo, and text that is long or made to break the document.
pub(crate) fn hostile() -> ReportModel {
    let attacks = [
        "#read(\"/etc/passwd\") #panic(\"injected\") *x* _y_ `z` $w$ @label <f1> \\ // /* [",
        "{{7*7}} {% raw %} </script><script>alert(1)</script> <img src=file:///etc/passwd>",
        "txt.exe\u{202e}gpj.tfel-ot-thgir and \u{0}\u{1b}[31mred\u{1b}[0m",
        "安全性报告 — レポート — تقرير الأمان — דוח אבטחה — Sécurité — Ελληνικά — Русский — 👩‍💻🔥 \u{fffd}",
    ];
    let mut model = report(12);
    for (number, attack) in attacks.into_iter().enumerate() {
        let mut entry = finding(number);
        entry.title = attack.to_owned();
        entry.description = attack.to_owned();
        entry.evidence = format!("{attack}\n{attack}");
        entry.location.url = Some(format!("https://app.example.com/{}?q={attack}", "deep/".repeat(12)));
        entry.cve = Some("CVE-2026-123456".to_owned());
        entry.subject = attack.to_owned();
        model.findings.push(entry);
    }
    let mut long = finding(1);
    long.title = "A".repeat(1_000_000);
    long.evidence = "0123456789abcdef".repeat(3_000);
    long.description = format!("{} {}", "word ".repeat(200), "W".repeat(500));
    long.location.host = "x".repeat(250);
    model.findings.push(long);
    count_again(&mut model);
    model.company_name = "安全 & Söhne <b> #strong[x] GmbH".to_owned();
    model.logo = Some(logo());
    let mut gaps = scan(2, "api.example.com");
    gaps.status = "cancelled".to_owned();
    gaps.tool = None;
    gaps.plan = Plan::Full;
    gaps.coverage = vec![
        row("nmap", "api.example.com", CoverageState::Done, None),
        row("nmap", "api.example.com", CoverageState::Skipped, Some(Gap::CapabilityUnavailable)),
        row("testssl", "api.example.com:443", CoverageState::Partial, Some(Gap::TimedOut)),
        row("wapiti", "https://api.example.com/", CoverageState::Failed, Some(Gap::ToolFailed)),
        row("nuclei", "https://api.example.com/", CoverageState::Skipped, Some(Gap::ToolUnavailable)),
    ];
    gaps.coverage[3].detail = Some("exit status 2 #panic()".to_owned());
    let mut failed = scan(3, "2001:db8:1234:5678:9abc:def0:1234:5678");
    failed.status = "failed".to_owned();
    failed.failure = Some("nothing could be looked at: no worker was able to run it".to_owned());
    failed.coverage = vec![row("nmap", &failed.target, CoverageState::Failed, Some(Gap::WorkerLost))];
    model.scans.extend([gaps, failed]);
    model.warnings = vec!["The logo at https://example.com/logo.png could not be fetched.".to_owned()];
    model
}

/// A picture of 320 × 80 pixels.
pub(crate) fn logo() -> Logo {
    Logo::parse(include_bytes!("logo.png").to_vec()).unwrap()
}
