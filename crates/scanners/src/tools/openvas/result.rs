//! One result, from either export.

use picket_domain::{Confidence, Protocol, Severity};

use crate::{
    Context,
    import::cwe,
    tally::Tally,
    weakness::{Place, Weakness, cve_name},
};

const MAX_CVES: usize = 64;

/// One result while it is being read. All text is bounded by whoever fills it.
#[derive(Debug, Default)]
pub(super) struct Result {
    pub(super) host: String,
    pub(super) hostname: String,
    /// `512/tcp`, `general/tcp`, `http (80/tcp)`.
    pub(super) port: String,
    pub(super) oid: String,
    pub(super) name: String,
    pub(super) severity: String,
    pub(super) threat: String,
    pub(super) base_score: String,
    pub(super) qod: String,
    /// `key=value|key=value`.
    pub(super) tags: String,
    pub(super) description: String,
    pub(super) solution: String,
    pub(super) summary: String,
    /// Names of CVEs, separated by anything.
    pub(super) cves: String,
    pub(super) links: Vec<String>,
}

impl Result {
    /// Gives the result to the tally; false for one that tells of an error of the scan.
    pub(super) fn tell(&self, context: &Context<'_>, tally: &mut Tally<'_>) -> bool {
        let severity = match self.severity() {
            Rating::Of(severity) => severity,
            Rating::NoFinding => return true,
            Rating::Fault => return false,
        };
        let host = context.host(&self.host).or_else(|| context.host(&self.hostname));
        let Some(host) = host.filter(|_| !self.oid.is_empty() || !self.name.is_empty()) else {
            tally.garbled();
            return true;
        };
        let port = port(&self.port);
        let mut cves = self.cves();
        if cves.len() > MAX_CVES {
            cves.truncate(MAX_CVES);
            tally.cut();
        }
        tally.tell(self.weakness(severity, &cves).observed(&Place { port, ..Place::of(&host) }));
        true
    }

    fn weakness(&self, severity: Severity, cves: &[String]) -> Weakness {
        let check = if self.oid.is_empty() { &self.name } else { &self.oid };
        let mut meaning = vec![self.first(&self.summary, "summary")];
        meaning.extend([self.tag("insight"), self.tag("impact"), self.tag("affected")]);
        meaning.retain(|text| !text.is_empty());
        let mut evidence = self.description.trim().to_owned();
        if cves.len() > 1 {
            evidence = format!("{evidence}\n{}", cves.join(" "));
        }
        let weakness =
            Weakness::of_tool(&format!("openvas:{check}"), severity, &self.name, &meaning.join("\n"), &evidence)
                .remedied(self.first(&self.solution, "solution"))
                .sure(self.confidence())
                .of_kind(cwe(self.tag("cwe_id")).filter(|_| self.tag("cwe_id").contains("CWE")))
                .referring(&self.links);
        // Of several CVEs none is the finding's name: the test is.
        match cves {
            [cve] => weakness.known_as(cve, self.score()),
            _ => weakness,
        }
    }

    /// Numbers below zero are words: -1 false positive, -2 debug, -3 error.
    fn severity(&self) -> Rating {
        match (self.severity.trim().parse::<f64>(), self.threat.trim().to_ascii_lowercase().as_str()) {
            (_, "false positive" | "debug") => Rating::NoFinding,
            (_, "error") => Rating::Fault,
            (Ok(number), _) if number <= -2.5 => Rating::Fault,
            (Ok(number), _) if number < 0.0 => Rating::NoFinding,
            (Ok(number), _) if number <= 10.0 => Rating::Of(Severity::of_cvss(number)),
            (_, "critical") => Rating::Of(Severity::Critical),
            (_, "high") => Rating::Of(Severity::High),
            (_, "medium") => Rating::Of(Severity::Medium),
            (_, "low") => Rating::Of(Severity::Low),
            (_, "log") => Rating::Of(Severity::Info),
            _ => Rating::Of(self.score().map_or(Severity::Unknown, Severity::of_cvss)),
        }
    }

    fn score(&self) -> Option<f64> {
        let numbers = [&self.severity, &self.base_score].into_iter().filter_map(|text| text.trim().parse().ok());
        numbers.into_iter().find(|score| (0.0..=10.0).contains(score))
    }

    fn confidence(&self) -> Confidence {
        match self.qod.trim().trim_end_matches('%').parse::<f64>() {
            Ok(quality) if quality >= 95.0 => Confidence::High,
            Ok(quality) if quality < 70.0 => Confidence::Low,
            _ => Confidence::Medium,
        }
    }

    /// As many as the text names, which is bounded itself.
    fn cves(&self) -> Vec<String> {
        let words = self.cves.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let mut cves: Vec<String> = words.filter_map(cve_name).collect();
        cves.sort_unstable();
        cves.dedup();
        cves
    }

    fn first<'a>(&'a self, own: &'a str, tag: &str) -> &'a str {
        if own.trim().is_empty() { self.tag(tag) } else { own.trim() }
    }

    fn tag(&self, name: &str) -> &str {
        let pairs = self.tags.split('|').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next().unwrap_or_default()
    }
}

/// What a result's level says.
enum Rating {
    Of(Severity),
    NoFinding,
    Fault,
}

/// `general/tcp` is of the whole host.
fn port(text: &str) -> Option<(u16, Protocol)> {
    let text = text.rsplit('(').next().unwrap_or_default().trim().trim_end_matches(')');
    let (number, protocol) = text.split_once('/')?;
    let number = number.trim().parse().ok().filter(|number| *number != 0)?;
    Some((number, Protocol::find(&protocol.trim().to_ascii_lowercase())?))
}

#[cfg(test)]
mod tests {
    use picket_domain::Gap;

    use super::*;

    #[test]
    fn o5_more_names_of_cves_than_are_kept_are_said_to_be_cut() {
        for (count, gap) in [(64, None), (65, Some(Gap::OutputTruncated))] {
            let named = |year: u32| (0..count).map(move |number| format!("CVE-{year}-{}", 1000 + number));
            // The same names twice are not more names.
            let cves = named(2020).chain(named(2020)).collect::<Vec<_>>().join(", ");
            let result = Result { host: "192.0.2.1".into(), oid: "1.3.6".into(), severity: "5.0".into(), cves, ..Result::default() };
            let mut sink = |_| {};
            let mut tally = Tally::new(&mut sink);
            assert!(result.tell(&Context::default(), &mut tally));
            assert_eq!(tally.end(None).gap, gap, "{count}");
        }
    }

    #[test]
    fn a_port_is_read_in_all_spellings() {
        assert_eq!(port("512/tcp"), Some((512, Protocol::Tcp)));
        assert_eq!(port("http (80/tcp)"), Some((80, Protocol::Tcp)));
        assert_eq!(port("53/UDP"), Some((53, Protocol::Udp)));
        for text in ["general/tcp", "0/tcp", "80", "", "80/icmp", "package"] {
            assert_eq!(port(text), None, "{text}");
        }
    }
}
