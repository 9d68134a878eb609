//! Reports that tools wrote elsewhere. What a file is, its content says; the client may only narrow it down. The parsers
//! are the ones that read the output of our own runs: bounded, without a process, a socket or a name looked up. It must
//! never take a file for clean that does not say itself that it is whole, also where its format cannot say so.
//!
//! They run here and not at a worker: nothing of an import needs a sandbox, and who sends a file hears at once what is
//! wrong with it.

use std::{
    io::{BufRead, Read as _},
    sync::Arc,
    time::Duration,
};

use picket_domain::{Gap, Observation, Target, TargetKind};
use picket_scanners::{Context, Format, HEAD_BYTES, Head, Parsed, formats, is_nameless};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{App, Caller, FieldError, Problem, body};

/// The route that takes files, as the route table and idempotency keys know it.
const ROUTE: &str = "/scans/import";
/// Files that are read, and stored, at the same time.
const AT_ONCE: usize = 2;
/// How long one waits for that.
const PATIENCE: Duration = Duration::from_secs(20);
/// Findings of one file; more would keep the organization's other scans waiting while they are stored.
const MOST_OBSERVATIONS: usize = 100_000;
/// Bytes of their texts together.
const MOST_TEXT_BYTES: usize = 128 * 1024 * 1024;

/// Reads files, few at a time; cheap to clone.
#[derive(Clone)]
pub(crate) struct Imports {
    free: Arc<Semaphore>,
}

impl Default for Imports {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What the client says that a file is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// The slug of its tool.
    pub(crate) tool: Option<String>,
    /// The format among those of the tool.
    pub(crate) format: Option<String>,
    /// What was scanned.
    pub(crate) target: Option<Target>,
}

/// What a file says.
pub(crate) struct Report {
    /// What the file is.
    pub(crate) format: &'static dyn Format,
    /// How the reading ended; never refused.
    pub(crate) parsed: Parsed,
    /// What was found.
    pub(crate) observations: Vec<Observation>,
    /// While it lives, its memory counts.
    _permit: OwnedSemaphorePermit,
}

/// The most bytes of a body of this route.
pub(crate) fn body_limit(app: &App, route: &str, caller: &Caller) -> u64 {
    let usual = u64::try_from(body::LONGEST_BYTES).unwrap_or(u64::MAX);
    if route.ends_with(ROUTE) { file_limit(app, caller).max(usual) } else { usual }
}

/// The most bytes of a file: what the plan has, and no more than the operator allows.
pub(crate) fn file_limit(app: &App, caller: &Caller) -> u64 {
    caller.subscription.limits().import_bytes.min(app.settings.import_bytes)
}

impl Claim {
    /// The formats that the file may be of.
    ///
    /// # Errors
    /// The parameter that names what there is not.
    fn candidates(&self) -> Result<Vec<&'static dyn Format>, Problem> {
        let of_tool: Vec<_> =
            formats().filter(|format| self.tool.as_deref().is_none_or(|tool| tool == format.tool())).collect();
        if of_tool.is_empty() {
            return Err(one_of("tool", "unknown_tool", formats().map(Format::tool)));
        }
        let is_named = |format: &&&'static dyn Format| self.format.as_deref().is_none_or(|name| name == format.name());
        let named: Vec<_> = of_tool.iter().filter(is_named).copied().collect();
        if named.is_empty() {
            return Err(one_of("format", "unknown_format", of_tool.iter().map(|format| format.name())));
        }
        Ok(named)
    }

    /// The host that the file is of, when it is one.
    fn host(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        (!matches!(target.kind(), TargetKind::Network(_))).then(|| target.to_string())
    }
}

/// The parameter is none of these.
fn one_of(field: &str, code: &'static str, known: impl Iterator<Item = &'static str>) -> Problem {
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    known.dedup();
    Problem::field(field, code, format!("expected one of: {}", known.join(", ")))
}

/// A file that cannot be read as what it should be.
fn unreadable(message: impl Into<String>) -> Problem {
    Problem::UnreadableReport(FieldError::new("body", "unreadable_report", message))
}

impl Imports {
    /// Reads a file.
    ///
    /// # Errors
    /// What the file is not, or why nothing of it can be kept.
    pub(crate) async fn read(&self, file: body::Spool, claim: Claim) -> Result<Report, Problem> {
        let (candidates, host) = (claim.candidates()?, claim.host());
        let permit = tokio::time::timeout(PATIENCE, self.free.clone().acquire_owned())
            .await
            .map_err(|waited| Problem::Unavailable(Box::new(waited)))?
            .map_err(Problem::internal)?;
        let read = tokio::task::spawn_blocking(move || read(file, &candidates, host.as_deref(), permit));
        // A parser that breaks is ours to repair, and is told from a file that is refused.
        read.await.map_err(Problem::internal)?
    }
}

fn read(
    file: body::Spool,
    candidates: &[&'static dyn Format],
    host: Option<&str>,
    permit: OwnedSemaphorePermit,
) -> Result<Report, Problem> {
    let size_bytes = file.size_bytes();
    let mut input = file.into_reader().map_err(Problem::internal)?;
    let head = head(&mut input).map_err(Problem::internal)?;
    let is_whole = u64::try_from(head.len()).is_ok_and(|length| length == size_bytes);
    let known = Head::new(&head, is_whole);
    let format = candidates.iter().copied().find(|format| format.recognizes(&known));
    let format =
        format.ok_or_else(|| unreadable("expected a report that one of the known tools writes (GET /tools)"))?;
    let (parsed, observations) = parse(format, host, &mut head.as_slice().chain(input));
    let parsed = parsed.of_a_file();
    if parsed.is_refused {
        return Err(unreadable(format!("expected a report of {}: {}", format.tool(), parsed.reason)));
    }
    if parsed.gap.is_some() && observations.is_empty() {
        return Err(unreadable(format!("nothing can be read of this report of {}: {}", format.tool(), parsed.reason)));
    }
    // Else the findings of all such files would meet at one host that there is not.
    if host.is_none() && observations.iter().any(|observation| is_nameless(&observation.location.host)) {
        let message = "expected what was scanned, a host name or an address, since the report names no host";
        return Err(Problem::field("target", "required", message));
    }
    Ok(Report { format, parsed, observations, _permit: permit })
}

/// The beginning of a file.
fn head(input: &mut dyn BufRead) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut head)?;
    Ok(head)
}

fn parse(format: &'static dyn Format, host: Option<&str>, input: &mut dyn BufRead) -> (Parsed, Vec<Observation>) {
    let (mut kept, mut text_bytes, mut is_cut) = (Vec::new(), 0_usize, false);
    let mut keep = |observation: Observation| {
        text_bytes = text_bytes.saturating_add(weight(&observation));
        if kept.len() < MOST_OBSERVATIONS && text_bytes <= MOST_TEXT_BYTES {
            kept.push(observation);
        } else {
            is_cut = true;
        }
    };
    let mut parsed = format.parse(input, &Context { host, ..Context::default() }, &mut keep);
    if is_cut {
        let cut = format!("the report holds more than the {} findings that were kept", kept.len());
        parsed.reason = if parsed.gap.is_some() { format!("{}; {cut}", parsed.reason) } else { cut };
        parsed.gap.get_or_insert(Gap::OutputTruncated);
    }
    (parsed, kept)
}

/// The bytes of all that a report may make long.
fn weight(observation: &Observation) -> usize {
    let Observation { title, description, evidence, remediation, subject, rule, location, references, .. } =
        observation;
    let service = observation.service.iter().flat_map(|service| {
        let texts = [&service.name, &service.product, &service.version, &service.extra_info];
        texts.into_iter().flatten().chain(&service.cpe)
    });
    let texts = [title, description, evidence, remediation, subject, rule, &location.host];
    texts
        .into_iter()
        .chain(&location.url)
        .chain(references)
        .chain(service)
        .map(String::len)
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(tool: Option<&str>, format: Option<&str>) -> Claim {
        Claim { tool: tool.map(str::to_owned), format: format.map(str::to_owned), target: None }
    }

    #[test]
    fn a_claim_names_what_there_is() {
        assert!(claim(None, None).candidates().is_ok_and(|all| all.len() == formats().count()));
        assert!(claim(Some("nmap"), Some("xml")).candidates().is_ok_and(|all| all.len() == 1));
        for (wrong, field) in [
            (claim(Some("nmap;id"), None), "tool"),
            (claim(Some(""), None), "tool"),
            (claim(Some("nmap"), Some("pdf")), "format"),
            (claim(None, Some("../x")), "format"),
        ] {
            let Err(Problem::Invalid(errors)) = wrong.candidates() else { panic!("{wrong:?}") };
            assert_eq!(errors[0].field, field);
        }
    }

    fn observation() -> Observation {
        let format = claim(Some("gobuster"), None).candidates().unwrap()[0];
        parse(format, None, &mut &b"/a (Status: 200) [Size: 1]\n"[..]).1.remove(0)
    }

    #[test]
    fn every_text_of_a_finding_weighs() {
        let known = observation();
        let text = "x".repeat(1_000);
        let service = picket_domain::Service { cpe: vec![text.clone()], ..picket_domain::Service::default() };
        let mut located = known.clone();
        located.location.url = Some(text.clone());
        for heavier in [
            Observation { references: vec![text.clone()], ..known.clone() },
            Observation { subject: text.clone(), ..known.clone() },
            Observation { service: Some(service), ..known.clone() },
            located,
        ] {
            assert!(weight(&heavier) >= 1_000, "{heavier:?}");
        }
    }

    #[test]
    fn what_was_left_out_is_said_beside_another_gap() {
        let format = claim(Some("gobuster"), None).candidates().unwrap()[0];
        let mut lines: String = (0..=MOST_OBSERVATIONS).map(|number| format!("/{number} (Status: 200)\n")).collect();
        let (parsed, kept) = parse(format, None, &mut lines.as_bytes());
        assert_eq!((parsed.gap, kept.len()), (Some(Gap::OutputTruncated), MOST_OBSERVATIONS));
        lines.push_str("what is this\n");
        let (parsed, _) = parse(format, None, &mut lines.as_bytes());
        assert_eq!(parsed.gap, Some(Gap::OutputIncomplete));
        assert!(
            parsed.reason.ends_with("; the report holds more than the 100000 findings that were kept"),
            "{}",
            parsed.reason
        );
    }
}
