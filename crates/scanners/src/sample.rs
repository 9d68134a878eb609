//! Reports of any size for benchmarks and tests, in the shapes that nmap 7.93 and nuclei 3 print. The same size gives the
//! same bytes.

use std::io::{self, Write};

/// What was written, for comparison with what is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes in all.
    pub bytes: u64,
    /// Hosts, all of them up.
    pub hosts: u64,
    /// Open ports of all hosts.
    pub open_ports: u64,
}

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<!-- Nmap 7.93 scan initiated Sun Nov 22 07:51:38 2026 as: nmap -n -Pn -oX - -&#45;no-stylesheet -sT -sV -sC -&#45; 10.0.0.0 -->
<nmaprun scanner="nmap" args="nmap -n -Pn -oX - -&#45;no-stylesheet -sT -sV -sC -&#45; 10.0.0.0" start="1795333898" startstr="Sun Nov 22 07:51:38 2026" version="7.93" xmloutputversion="1.05">
<scaninfo type="connect" protocol="tcp" numservices="7" services="21-22,80,443,3306,8080,9000"/>
<verbose level="0"/>
<debugging level="0"/>
"#;

const CLOSED: &str = r#"<port protocol="tcp" portid="3306"><state state="closed" reason="conn-refused" reason_ttl="0"/><service name="mysql" method="table" conf="3"/></port>
"#;

/// What stands behind `<port protocol="tcp" portid="…">` for each kind of service.
const SERVICES: [(u16, &str); 6] = [
    (
        21,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="ftp" product="vsftpd" version="3.0.3" ostype="Unix" method="probed" conf="10"><cpe>cpe:/a:vsftpd:vsftpd:3.0.3</cpe></service><script id="ftp-anon" output="Anonymous FTP login allowed (FTP code 230)"/><script id="ftp-syst" output="&#xa;  STAT: &#xa;FTP server status:&#xa;     Logged in as ftp&#xa;     TYPE: ASCII&#xa;     Session timeout in seconds is 300&#xa;End of status"><elem key="STAT">&#xa;FTP server status:&#xa;     Logged in as ftp&#xa;     TYPE: ASCII&#xa;     Session timeout in seconds is 300&#xa;End of status</elem>
</script>"#,
    ),
    (
        22,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="ssh" product="OpenSSH" version="9.2p1 Debian 2+deb12u2" extrainfo="protocol 2.0" ostype="Linux" method="probed" conf="10"><cpe>cpe:/a:openbsd:openssh:9.2p1</cpe><cpe>cpe:/o:linux:linux_kernel</cpe></service><script id="ssh-hostkey" output="&#xa;  1024 60:ac:4d:51:b1:cd:85:09:12:16:92:76:1d:5d:27:6e (DSA)&#xa;  2048 2c:22:75:60:4b:c3:3b:18:a2:97:2c:96:7e:28:dc:dd (RSA)"><table>
<elem key="bits">1024</elem>
<elem key="type">ssh-dss</elem>
<elem key="fingerprint">60ac4d51b1cd8509121692761d5d276e</elem>
</table>
<table>
<elem key="bits">2048</elem>
<elem key="type">ssh-rsa</elem>
<elem key="fingerprint">2c2275604bc33b18a2972c967e28dcdd</elem>
</table>
</script>"#,
    ),
    (
        80,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="http" product="nginx" version="1.22.1" method="probed" conf="10"><cpe>cpe:/a:igor_sysoev:nginx:1.22.1</cpe></service><script id="http-server-header" output="nginx/1.22.1"><elem>nginx/1.22.1</elem>
</script><script id="http-title" output="Welcome &amp; hello"><elem key="title">Welcome &amp; hello</elem>
</script><script id="http-methods" output="&#xa;  Potentially risky methods: PUT TRACE"><table key="Potentially risky methods">
<elem>PUT</elem>
<elem>TRACE</elem>
</table>
</script><script id="http-git" output="&#xa;  10.0.0.1:80/.git/&#xa;    Git repository found!&#xa;    Last commit message: first &#xa;"><table key="10.0.0.1:80/.git/">
<elem key="last-commit-message">first&#xa;</elem>
<table key="files-found">
<elem key=".git/config">true</elem>
<elem key=".gitignore">false</elem>
</table>
</table>
</script>"#,
    ),
    (
        443,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="http" product="nginx" version="1.22.1" tunnel="ssl" method="probed" conf="10"><cpe>cpe:/a:igor_sysoev:nginx:1.22.1</cpe></service><script id="ssl-cert" output="Subject: commonName=demo.example.com&#xa;Not valid before: 2020-01-01T00:00:00&#xa;Not valid after:  2020-02-01T00:00:00"><table key="subject">
<elem key="commonName">demo.example.com</elem>
</table>
<table key="issuer">
<elem key="commonName">demo.example.com</elem>
</table>
<table key="pubkey">
<elem key="type">rsa</elem>
<elem key="bits">1024</elem>
<elem key="modulus">BD6280927306E7CC202BD019B505AFDD3C36E62DE8817E1D0E9DBF62C609B4173ADB3BF083E06848C28E6478588AA2FAD229E977CEB8191C2ACE5049E1D1D3C5A04CC2862AE680763923EECA3BF240EBD63C636B77097A3185AEE7A4AEEEB963266EEF7A4A309A37353402B085706681D912A5657591209C32E2AC143EA3CF81</elem>
<elem key="exponent">65537</elem>
</table>
<elem key="sig_algo">sha1WithRSAEncryption</elem>
<table key="validity">
<elem key="notBefore">2020-01-01T00:00:00</elem>
<elem key="notAfter">2020-02-01T00:00:00</elem>
</table>
<elem key="md5">d90cd10e09ed14cec4eefed7890f7c92</elem>
<elem key="sha1">be09b6bea53e8dbbd707b194d9262a5d5e2f6fd6</elem>
<elem key="pem">-&#45;&#45;&#45;&#45;BEGIN CERTIFICATE-&#45;&#45;&#45;&#45;&#xa;MIIBpTCCAQ4CAQEwDQYJKoZIhvcNAQEFBQAwGzEZMBcGA1UEAwwQZGVtby5leGFt&#xa;cGxlLmNvbTAeFw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAwMDBaMBsxGTAXBgNV&#xa;BAMMEGRlbW8uZXhhbXBsZS5jb20wgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGB&#xa;AL1igJJzBufMICvQGbUFr908NuYt6IF+HQ6dv2LGCbQXOts78IPgaEjCjmR4WIqi&#xa;ZdHn4dzYkOmvgcRcThvkUZF5U+CPNbeh8TJ58pKTtxlRvuyAO7a87dc=&#xa;-&#45;&#45;&#45;&#45;END CERTIFICATE-&#45;&#45;&#45;&#45;&#xa;</elem>
</script><script id="ssl-date" output="TLS randomness does not represent time"></script>"#,
    ),
    (
        9000,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="cslistener" servicefp="SF-Port9000-TCP:V=7\.93%I=7%r(Probe0,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe1,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe2,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe3,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe4,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe5,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe6,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)SF-Port9000-TCP:V=7\.93%I=7%r(Probe7,8D,&quot;HTTP/1\.1\x20400\x20Bad\x20Request\r\nContent-Type:\x20text/plain\r\nConnection:\x20close\r\n\r\n400\x20Bad\x20Request&quot;)" method="table" conf="3"/><script id="fingerprint-strings" output="&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request"><elem key="GenericLines, Help">&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request&#xa;  GenericLines, Help: &#xa;    HTTP/1.1 400 Bad Request&#xa;    Content-Type: text/plain; charset=utf-8&#xa;    Connection: close&#xa;    Request</elem>
</script>"#,
    ),
    (
        8080,
        r#"<state state="open" reason="syn-ack" reason_ttl="0"/><service name="http" product="Apache httpd" version="2.4.49" extrainfo="(Unix)" method="probed" conf="10"><cpe>cpe:/a:apache:http_server:2.4.49</cpe></service><script id="vulners" output="&#xa;  cpe:/a:apache:http_server:2.4.49: &#xa;    &#x9;CVE-2021-41773&#x9;4.3&#x9;https://vulners.com/cve/CVE-2021-41773"><table key="cpe:/a:apache:http_server:2.4.49">
<table>
<elem key="cvss">7.5</elem>
<elem key="id">CVE-2021-41773</elem>
<elem key="is_exploit">false</elem>
<elem key="type">cve</elem>
</table>
<table>
<elem key="cvss">7.5</elem>
<elem key="id">EDB-ID:50383</elem>
<elem key="is_exploit">true</elem>
<elem key="type">exploitdb</elem>
</table>
</table>
</script>"#,
    ),
];

/// Writes a complete report of at least `bytes` bytes (and less than two hosts more).
///
/// # Errors
/// Whatever the writer says.
pub fn write_nmap_xml(writer: &mut dyn Write, bytes: u64) -> io::Result<Written> {
    let mut counted = Counted { writer, bytes: 0 };
    let mut written = Written::default();
    counted.write_all(HEAD.as_bytes())?;
    while counted.bytes < bytes {
        written.open_ports = written.open_ports.saturating_add(write_host(&mut counted, written.hosts)?);
        written.hosts = written.hosts.saturating_add(1);
    }
    writeln!(
        counted,
        r#"<runstats><finished time="1795333919" timestr="Sun Nov 22 07:51:59 2026" summary="Nmap done" elapsed="20.57" exit="success"/><hosts up="{0}" down="0" total="{0}"/>
</runstats>
</nmaprun>"#,
        written.hosts
    )?;
    counted.flush()?;
    written.bytes = counted.bytes;
    Ok(written)
}

/// One host; which services it has follows from its number.
fn write_host(writer: &mut dyn Write, number: u64) -> io::Result<u64> {
    let [.., a, b, c] = number.to_be_bytes();
    write!(
        writer,
        r#"<host starttime="1795333899" endtime="1795333919"><status state="up" reason="user-set" reason_ttl="0"/>
<address addr="10.{a}.{b}.{c}" addrtype="ipv4"/>
<hostnames>
</hostnames>
<ports>"#
    )?;
    let mut open = 0;
    for (place, (port, service)) in (0_u64..).zip(SERVICES) {
        // Every host lacks one of the six, a different one each time.
        if number % 6 != place {
            writeln!(writer, r#"<port protocol="tcp" portid="{port}">{service}</port>"#)?;
            open += 1;
        }
    }
    writer.write_all(CLOSED.as_bytes())?;
    writer.write_all(b"</ports>\n<times srtt=\"708\" rttvar=\"2146\" to=\"100000\"/>\n</host>\n")?;
    Ok(open)
}

/// Templates of nuclei: identifier, severity, path, and what further stands in the record.
const TEMPLATES: [(&str, &str, &str, &str); 4] = [
    (
        "git-config",
        "medium",
        "/.git/config",
        r#""classification":{"cve-id":null,"cwe-id":["cwe-200"],"cvss-score":5.3},"#,
    ),
    (
        "CVE-2021-41773",
        "high",
        "/icons/",
        r#""classification":{"cve-id":["cve-2021-41773"],"cwe-id":["cwe-22"],"cvss-score":7.5},"#,
    ),
    ("http-missing-security-headers", "info", "", ""),
    ("tech-detect", "info", "/app/", ""),
];

/// Writes complete records of at least `bytes` bytes (and less than one more), one in each line.
///
/// # Errors
/// Whatever the writer says.
pub fn write_nuclei_jsonl(writer: &mut dyn Write, bytes: u64) -> io::Result<Written> {
    let mut counted = Counted { writer, bytes: 0 };
    let mut written = Written::default();
    // A real record carries what was sent and what came back.
    let request =
        r"GET / HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n".repeat(3);
    let response = r#"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n<!doctype html>\n<p class=\"x\">Hello</p>\n"#.repeat(12);
    while counted.bytes < bytes {
        let [.., a, b, c] = written.hosts.to_be_bytes();
        for (id, severity, path, more) in TEMPLATES {
            writeln!(
                counted,
                r#"{{"template":"http/{id}.yaml","template-id":"{id}","info":{{"name":"Sample {id}","author":["someone"],"tags":["sample"],"description":"A sample.","severity":"{severity}",{more}"reference":["https://example.com/{id}"]}},"type":"http","host":"10.{a}.{b}.{c}","port":"80","scheme":"http","url":"http://10.{a}.{b}.{c}/","matched-at":"http://10.{a}.{b}.{c}{path}","ip":"10.{a}.{b}.{c}","timestamp":"2026-11-22T08:00:00Z","request":"{request}","response":"{response}","matcher-status":true}}"#
            )?;
        }
        written.hosts = written.hosts.saturating_add(1);
        written.open_ports = written.open_ports.saturating_add(1);
    }
    counted.flush()?;
    written.bytes = counted.bytes;
    Ok(written)
}

struct Counted<'w> {
    writer: &'w mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(data)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find;

    #[test]
    fn records_of_nuclei_are_read_as_they_were_written() {
        let mut report = Vec::new();
        let written = write_nuclei_jsonl(&mut report, 100_000).unwrap();
        let context = crate::Context::default();
        let parsed = find("nuclei").unwrap().parse(&mut report.as_slice(), &context, &mut drop);
        assert!(parsed.is_complete(), "{parsed:?}");
        assert_eq!(parsed.observations, written.hosts * 4);
    }

    #[test]
    fn a_sample_is_read_as_it_was_written() {
        let mut report = Vec::new();
        let written = write_nmap_xml(&mut report, 200_000).unwrap();
        assert_eq!(written.bytes, u64::try_from(report.len()).unwrap());
        let (mut open_ports, mut others) = (0, 0);
        let parsed =
            find("nmap").unwrap().parse(&mut report.as_slice(), &crate::Context::default(), &mut |observation| {
                match observation.rule.as_str() {
                    "port.open" => open_ports += 1,
                    _ => others += 1,
                }
            });
        assert!(parsed.is_complete(), "{parsed:?}");
        assert_eq!((parsed.hosts_up, open_ports), (written.hosts, written.open_ports));
        assert_eq!(parsed.observations, open_ports + others);
        assert!(others > open_ports);
        let mut again = Vec::new();
        write_nmap_xml(&mut again, 200_000).unwrap();
        assert_eq!(again, report);
    }
}
