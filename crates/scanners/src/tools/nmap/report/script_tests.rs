//! What single scripts mean, in the forms that nmap's own documentation shows.

use picket_domain::{Confidence, Gap, Severity};

use super::tests::{lines, read, web};

/// What is told of a script at an HTTP port, without the port itself.
fn told(script: &str) -> Vec<String> {
    let (parsed, observations) = read(web(script).as_bytes());
    assert!(parsed.is_complete(), "{parsed:?}");
    lines(&observations[1..]).into_iter().map(|line| line.replace("192.0.2.1:80/tcp ", "")).collect()
}

fn vulnerability(id: &str, state: &str, key: &str, more: &str) -> String {
    format!(
        r#"<script id="{id}" output="&#xa;  VULNERABLE:"><table key="{key}"><elem key="title">Memory leak</elem><elem key="state">{state}</elem>{more}<table key="description"><elem>It leaks.</elem></table><table key="refs"><elem>https://cve.example.com/</elem></table></table></script>"#
    )
}

#[test]
fn a_vulnerability_report_becomes_a_cve() {
    let ids = r#"<table key="ids"><elem>CVE:CVE-2014-0160</elem><elem>BID:66690</elem></table>"#;
    let scores = r#"<table key="scores"><elem key="CVSSv2">10.0 (HIGH) (AV:N/AC:L)</elem></table>"#;
    assert_eq!(told(&vulnerability("x", "VULNERABLE", "CVE-2014-0160", scores)), ["critical nmap:x [] Memory leak"]);
    assert_eq!(told(&vulnerability("x", "VULNERABLE (Exploitable)", "NMAP-1", ids)), ["high nmap:x [] Memory leak"]);
    assert_eq!(told(&vulnerability("x", "LIKELY VULNERABLE", "NMAP-1", "")), ["medium nmap:x [NMAP-1] Memory leak"]);
    for state in ["NOT VULNERABLE", "UNKNOWN (unable to test)", ""] {
        assert!(told(&vulnerability("x", state, "CVE-2014-0160", scores)).is_empty(), "{state}");
    }
    let (_, observations) = read(web(&vulnerability("x", "VULNERABLE", "NMAP-1", ids)).as_bytes());
    let seen = &observations[1];
    assert_eq!(seen.cve.as_deref(), Some("CVE-2014-0160"));
    assert!(seen.confidence == Confidence::Medium && seen.description.contains("It leaks."));
    assert_eq!(seen.references, ["https://cve.example.com/"]);
    let (_, observations) = read(web(&vulnerability("x", "LIKELY VULNERABLE", "NMAP-1", ids)).as_bytes());
    assert_eq!(observations[1].confidence, Confidence::Low);
}

#[test]
fn what_scripts_test_of_tls_meets_what_tls_scanners_say() {
    for (id, title, rule, cve) in [
        ("ssl-heartbleed", "x", "tls.heartbleed", Some("CVE-2014-0160")),
        ("ssl-ccs-injection", "x", "tls.ccs_injection", Some("CVE-2014-0224")),
        ("ssl-poodle", "x", "tls.weak_protocol.sslv3", None),
        ("ssl-dh-params", "Anonymous Diffie-Hellman Key Exchange MitM Vulnerability", "tls.weak_cipher.anonymous", None),
        ("ssl-dh-params", "Diffie-Hellman Key Exchange Insufficient Group Strength", "tls.weak_dh_group", None),
        ("tls-ticketbleed", "x", "tls.ticketbleed", Some("CVE-2016-9244")),
    ] {
        let script = vulnerability(id, "VULNERABLE", "NMAP-1", "").replace("Memory leak", title);
        let (_, observations) = read(web(&script).as_bytes());
        assert_eq!((observations[1].rule.as_str(), observations[1].cve.as_deref()), (rule, cve), "{id}");
        assert_eq!(observations[1].subject, "");
    }
}

#[test]
fn a_verdict_about_another_product_is_not_believed() {
    let report = vulnerability("http-vuln-cve2011-3192", "VULNERABLE", "CVE-2011-3192", "");
    let nginx = format!(r#"<service name="http" product="nginx"/>{report}"#);
    let apache = format!(r#"<service name="http" product="Apache httpd"/>{report}"#);
    assert_eq!(told(&nginx), ["info nmap:http-vuln-cve2011-3192 [] Memory leak"]);
    assert_eq!(told(&apache), ["high nmap:http-vuln-cve2011-3192 [] Memory leak"]);
    let (_, observations) = read(web(&nginx).as_bytes());
    assert_eq!(observations[1].confidence, Confidence::Low);
    assert!(observations[1].evidence.starts_with("Contradicted: the service is nginx"), "{}", observations[1].evidence);
    let tomcat = format!(r#"<service name="http" product="Apache Tomcat"/>{report}"#);
    assert_eq!(told(&tomcat), ["info nmap:http-vuln-cve2011-3192 [] Memory leak"]);
    assert_eq!(told(&report), ["high nmap:http-vuln-cve2011-3192 [] Memory leak"], "an unknown product contradicts nothing");
    for (report, confidence) in [(&report, Confidence::Low), (&apache, Confidence::Medium)] {
        let (_, observations) = read(web(report).as_bytes());
        assert_eq!(observations[1].confidence, confidence, "nor is it a product that was seen: {report}");
    }
}

#[test]
fn versions_alone_give_unconfirmed_cves() {
    let entry = |id: &str, cvss: &str, is_exploit: bool| {
        format!(r#"<table><elem key="id">{id}</elem><elem key="cvss">{cvss}</elem><elem key="is_exploit">{is_exploit}</elem></table>"#)
    };
    let entries = [
        entry("MSF:ILITIES/SUSE-CVE-2019-6111/", "5.8", true),
        entry("CVE-2019-6111", "4.0", false),
        entry("CVE-2020-1", "9.9", false),
        entry("EDB-ID:1", "9.9", true),
        entry("CVE-2018-15473", "x", false),
    ];
    let script = format!(
        r#"<service product="OpenSSH" version="7.4"/><script id="vulners" output="x"><table key="cpe:/a:openbsd:openssh:7.4">{}</table></script>"#,
        entries.concat()
    );
    assert_eq!(
        told(&script),
        ["unknown nmap:vulners [] CVE-2018-15473 may affect OpenSSH 7.4", "medium nmap:vulners [] CVE-2019-6111 may affect OpenSSH 7.4"]
    );
    let (_, observations) = read(web(&script).as_bytes());
    assert_eq!(observations[2].cvss, Some(4.0));
    assert!(observations[2].description.contains("lists an exploit") && observations[2].confidence == Confidence::Low);
    let lines = r#"<script id="vulners" output="&#xa;  cpe:/a:x:y:1: &#xa;    &#9;CVE-2020-15778&#9;6.8&#9;https://x&#9;*EXPLOIT*"/>"#;
    assert_eq!(told(lines), ["medium nmap:vulners [] CVE-2020-15778 may affect the service"]);
}

#[test]
fn a_list_that_was_not_looked_up_claims_nothing_and_titles_alone_are_a_hint() {
    for output in ["", "&#xa;  No vulnerability lookups were made: this is not a report that the software is free of known problems"] {
        let (parsed, observations) = read(web(&format!(r#"<script id="vulners" output="{output}"/>"#)).as_bytes());
        assert_eq!((observations.len(), parsed.is_complete()), (1, output.is_empty()), "only the port: {output}");
    }
    let script = r#"<script id="vulscan" output="cve.csv:&#xa;[CVE-2012-0001] AfterLogic stored XSS&#xa;[CVE-2012-0002] y&#xa;"/>"#;
    assert_eq!(told(script), ["info nmap:vulscan [] vulscan lists 2 titles that may concern the service"]);
    let (_, observations) = read(web(script).as_bytes());
    assert_eq!((observations[1].cve.as_deref(), observations[1].confidence), (None, Confidence::Low));
    assert!(told(r#"<script id="vulscan" output="cve.csv:&#xa;No findings&#xa;"/>"#).is_empty());
}

#[test]
fn a_service_by_the_number_of_its_port_alone_is_not_known() {
    let (_, observations) = read(web(r#"<service name="http" method="table" conf="3"/>"#).as_bytes());
    assert_eq!(observations[0].service, None);
    assert!(observations[0].evidence.contains("by the number of the port: http"));
    let (_, observations) = read(web(r#"<service name="http" product="nginx" method="probed" conf="10"/>"#).as_bytes());
    assert_eq!(observations[0].service.as_ref().and_then(|service| service.product.as_deref()), Some("nginx"));
}

#[test]
fn every_kind_of_script_is_understood() {
    let cases = [
        (r#"<script id="ftp-anon" output="Anonymous FTP login allowed (FTP code 230)&#xa;drwxrwxrwx pub [NSE: writeable]"/>"#, "high ftp.anonymous_write"),
        (r#"<script id="sshv1" output="Server supports SSHv1"/>"#, "high ssh.protocol_1"),
        (r#"<script id="ssh-hostkey" output="x"><table><elem key="type">ssh-dss</elem><elem key="bits">1024</elem></table><table><elem key="type">ssh-rsa</elem><elem key="bits">3072</elem></table></script>"#, "high ssh.weak_host_key"),
        (r#"<script id="ssh2-enum-algos" output="x"><table key="encryption_algorithms"><elem>aes128-ctr</elem><elem>3des-cbc</elem></table></script>"#, "medium ssh.weak_cipher"),
        (r#"<script id="ssh2-enum-algos" output="x"><table key="kex_algorithms"><elem>curve25519-sha256</elem><elem>diffie-hellman-group1-sha1</elem><elem>diffie-hellman-group14-sha256</elem></table></script>"#, "high ssh.weak_key_exchange"),
        (r#"<script id="ssh2-enum-algos" output="x"><table key="mac_algorithms"><elem>hmac-sha2-256</elem><elem>hmac-md5</elem></table></script>"#, "low ssh.weak_mac"),
        (r#"<script id="sslv2" output="&#xa;  SSLv2 supported&#xa;  ciphers: "/>"#, "high tls.weak_protocol.sslv2"),
        (r#"<script id="ssl-known-key" output="Found in Little Black Box 0.1"/>"#, "critical tls.known_private_key"),
        (r#"<script id="smb-security-mode" output="x"><elem key="message_signing">disabled</elem></script>"#, "medium smb.signing_disabled"),
        (r#"<script id="smb2-security-mode" output="&#xa;  3.1.1:&#xa;    Message signing enabled but not required"/>"#, "low smb.signing_not_required"),
        (r#"<script id="smb-protocols" output="&#xa;  dialects: &#xa;    NT LM 0.12 (SMBv1) [dangerous, but default]"/>"#, "high smb.protocol_1"),
        (r#"<script id="mysql-empty-password" output="&#xa;  root account has empty password"/>"#, "critical mysql.empty_password"),
        (r#"<script id="redis-info" output="x"><elem key="Version">7.0.15</elem></script>"#, "high redis.no_authentication"),
        (r#"<script id="mongodb-databases" output="x"><table key="databases"><table key="0"><elem key="name">a</elem></table></table></script>"#, "high mongodb.no_authentication"),
        (r#"<script id="memcached-info" output="x"><elem key="Authentication">no</elem></script>"#, "medium memcached.no_authentication"),
        (r#"<script id="vnc-info" output="x"><table key="Security types"><table><elem key="name">None</elem><elem key="type">1</elem></table></table></script>"#, "high vnc.no_authentication"),
        (r#"<script id="x11-access" output="X server access is granted"/>"#, "high x11.open_access"),
        (r#"<script id="dns-recursion" output="Recursion appears to be enabled"/>"#, "medium dns.open_recursion"),
        (r#"<service extrainfo="public"/><script id="snmp-info" output="x"/>"#, "medium snmp.default_community"),
        (r#"<script id="http-open-proxy" output="Potentially OPEN proxy.&#xa;Methods supported: GET"/>"#, "high http.open_proxy"),
        (r#"<script id="http-methods" output="GET HEAD POST OPTIONS TRACE&#xa;Potentially risky methods: TRACE&#xa;See x"/>"#, "low http.trace_enabled"),
        (r#"<script id="http-cors" output="GET POST OPTIONS"/>"#, "medium http.cors_any_origin"),
        (r#"<script id="http-auth" output="x"><table><elem key="scheme">Basic</elem></table></script>"#, "medium http.basic_auth_without_tls"),
        (r#"<script id="http-internal-ip-disclosure" output="&#xa;  Internal IP Leaked: 10.0.0.2"/>"#, "low http.internal_address_disclosed"),
        (r#"<script id="http-ls" output="Volume /"><table key="volumes"><table><elem key="volume">/files/</elem></table></table></script>"#, "low http.directory_listing"),
        (r#"<script id="http-svn-info" output="x"><elem key="Repository UUID">x</elem></script>"#, "medium http.svn_exposed"),
        (r#"<script id="nfs-showmount" output="&#xa;  /home *"/>"#, "info nfs.exports_listed"),
        (r#"<script id="rsync-list-modules" output="&#xa;  www  www directory"/>"#, "info rsync.modules_listed"),
    ];
    for (script, expected) in cases {
        let told = told(script);
        assert!(told.len() == 1 && told[0].starts_with(expected), "{script}: {told:?}");
    }
}

#[test]
fn scripts_that_only_describe_or_failed_are_no_findings() {
    for script in [
        r#"<script id="ssh-hostkey" output="ERROR: Script execution failed (use -d to debug)"/>"#,
        r#"<script id="http-git" output="false"/>"#,
        r#"<script id="redis-info" output="ERROR: NOAUTH"/>"#,
        r#"<script id="fingerprint-strings" output="x"><elem key="NULL">x</elem></script>"#,
        r#"<script id="ssh-hostkey" output="x"><table><elem key="type">ssh-ed25519</elem><elem key="bits">256</elem></table></script>"#,
        r#"<script id="http-open-proxy" output="Proxy might be redirecting requests"/>"#,
        r#"<script id="http-methods" output="Supported Methods: GET HEAD POST OPTIONS"/>"#,
        r#"<script id="http-cors" output="nothing is allowed"/>"#,
        r#"<script id="mongodb-info" output="x"><table key="MongoDB Build info"/></script>"#,
        r#"<script id="vnc-info" output="x"><table key="Security types"><table><elem key="type">2</elem></table></table></script>"#,
        r#"<script id="smb2-security-mode" output="&#xa;  3.1.1:&#xa;    Message signing enabled and required"/>"#,
        r#"<script id="ssl-cert" output="x"/>"#,
        r#"<script id="" output=""/>"#,
    ] {
        assert_eq!(told(script), Vec::<String>::new(), "{script}");
    }
}

#[test]
fn certificates_of_old_versions_are_read_from_their_text() {
    let script = r#"<script id="ssl-cert" output="Subject: commonName=a&#xa;Issuer: commonName=a&#xa;Public Key type: rsa&#xa;Public Key bits: 1024&#xa;Not valid before: 2004-06-03T10:11:43+00:00&#xa;Not valid after:  2024-05-29T10:11:43+00:00&#xa;-----BEGIN CERTIFICATE-----&#xa;MIIC"/>"#;
    let told = told(script);
    assert_eq!(told.len(), 3, "{told:?}");
    let (_, observations) = read(web(script).as_bytes());
    assert!(observations.iter().all(|seen| !seen.evidence.contains("BEGIN") && seen.severity <= Severity::Medium));
}

#[test]
fn a_check_that_could_not_test_is_a_gap_and_a_banner_that_was_not_read_is_none() {
    let end = |id: &str, output: &str| read(web(&format!(r#"<script id="{id}" output="{output}"/>"#)).as_bytes()).0;
    for (id, output) in [
        ("http-vuln-cve2017-5638", "&#xa;ERROR: Script execution failed (use -d to debug)"),
        ("ssl-heartbleed", "TIMEOUT"),
        ("vulners", "No vulnerability lookups were made"),
    ] {
        let parsed = end(id, output);
        assert_eq!(parsed.gap, Some(picket_domain::Gap::OutputIncomplete), "{id}");
        assert!(parsed.reason.contains(id), "{}", parsed.reason);
    }
    for (id, output) in [("smb-vuln-ms10-054", "false"), ("ssh-hostkey", "ERROR: Script execution failed"), ("ssl-poodle", "")] {
        assert!(end(id, output).is_complete(), "{id}");
    }
}

#[test]
fn o5_more_findings_of_one_script_than_are_kept_are_said_to_be_cut() {
    let table = |number: usize| {
        format!(
            r#"<table key="N{number}"><elem key="title">t{number}</elem><elem key="state">VULNERABLE</elem></table>"#
        )
    };
    let script = |count: usize| {
        let tables: String = (0..count).map(table).collect();
        read(web(&format!(r#"<script id="x" output="VULNERABLE:">{tables}</script>"#)).as_bytes())
    };
    let (parsed, seen) = script(2000);
    assert_eq!((parsed.gap, seen.len()), (None, 2001));
    let (parsed, seen) = script(2001);
    assert_eq!((parsed.gap, seen.len()), (Some(Gap::OutputTruncated), 2001));
}
