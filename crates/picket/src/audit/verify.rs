//! `picket audit verify`: computes a chain anew, from the database or from an exported file, and compares its end with a
//! head that was exported before. Prints what it found as JSON; the first broken row is named.

use std::{fmt, fs, path::Path};

use picket_domain::{AuditPoint, BreakReason, Broken, ChainWalk, OrganizationId};
use picket_kit::Sealer;
use picket_store::{
    Db,
    audit::read::{self, AuditSpan, Verification},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{end, export::ExportedLog, head::SignedHead};
use crate::{CommandError, VerifyArguments, commands::configure, roles::Parts};

/// Rows that one transaction checks.
const MOST: u64 = 10_000;
/// The longest file of a head.
const LONGEST_HEAD_BYTES: u64 = 4_096;

/// Why a log is not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A row.
    Row(Broken),
    /// The exported head was not signed by this platform.
    Signature,
}

/// The keys of the settings; a check of files needs nothing else, and does without them too.
#[derive(Debug, Deserialize)]
struct Keys {
    #[serde(default)]
    sealing_key: Option<SecretString>,
    #[serde(default)]
    previous_sealing_keys: Vec<SecretString>,
}

/// What was found, for scripts.
#[derive(Debug, Serialize)]
struct Report {
    organization: OrganizationId,
    whole: bool,
    /// Rows that are as they were written.
    checked: u64,
    first_broken: Option<Broken>,
    /// The end of the chain as the database knows it, or the last row of the file.
    head: AuditPoint,
    /// `good`, `bad`, `unchecked` without the platform's key, or null without an exported head.
    head_signature: Option<&'static str>,
}

/// Checks, prints, and fails when something is broken.
pub(super) async fn run(settings: Option<&Path>, arguments: VerifyArguments) -> Result<(), CommandError> {
    let exported = arguments.head.as_deref().map(read_head).transpose()?;
    let report = match (arguments.organization, arguments.file) {
        (Some(organization), _) => in_database(settings, organization, exported.as_ref()).await?,
        (None, Some(file)) => in_file(&file, exported.as_ref())?,
        (None, None) => return Err(CommandError::Missing("--organization or --file")),
    };
    let head_signature = exported.map(|head| signature(settings, &head)).transpose()?;
    let is_forged = head_signature == Some("bad");
    let report = Report { head_signature, whole: report.whole && !is_forged, ..report };
    println!("{}", serde_json::to_string(&report)?);
    match report.first_broken {
        Some(broken) => Err(CommandError::Broken(Fault::Row(broken))),
        None if is_forged => Err(CommandError::Broken(Fault::Signature)),
        None => Ok(()),
    }
}

fn read_head(path: &Path) -> Result<SignedHead, CommandError> {
    let io = |source| CommandError::Io { what: format!("cannot read {}", path.display()), source };
    let expected = || CommandError::File { path: path.to_owned(), expected: "a head of `picket audit head`" };
    if fs::metadata(path).map_err(io)?.len() > LONGEST_HEAD_BYTES {
        return Err(expected());
    }
    serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|_| expected())
}

fn signature(settings: Option<&Path>, head: &SignedHead) -> Result<&'static str, CommandError> {
    let keys: Keys = picket_kit::load(settings, &[])?;
    let Some(key) = keys.sealing_key else { return Ok("unchecked") };
    let sealer = Sealer::with(&key, &keys.previous_sealing_keys)?;
    Ok(if head.is_genuine(&sealer) { "good" } else { "bad" })
}

async fn in_database(
    settings: Option<&Path>,
    organization: OrganizationId,
    exported: Option<&SignedHead>,
) -> Result<Report, CommandError> {
    if exported.is_some_and(|head| head.organization != organization) {
        return Err(CommandError::Unknown("a head of this organization"));
    }
    let db = Parts::new(configure(settings)?)?.db;
    let (found, checked) = whole_chain(&db, organization).await?;
    let first_broken = match (found.broken, exported) {
        (None, Some(exported)) => lost(&db, exported).await?,
        (broken, _) => broken,
    };
    let whole = first_broken.is_none();
    Ok(Report { organization, whole, checked, first_broken, head: found.head, head_signature: None })
}

/// The last piece of a check of the whole chain, and the rows of all pieces.
async fn whole_chain(db: &Db, organization: OrganizationId) -> Result<(Verification, u64), CommandError> {
    let (mut from, mut checked) = (1, 0_u64);
    loop {
        let span = AuditSpan { from, to: None, most: MOST };
        let found = db
            .operate("verify_audit_log", async |tx| read::verify(tx, organization, span).await)
            .await?
            .ok_or(CommandError::Unknown("an organization"))?;
        checked = checked.saturating_add(found.checked);
        match found.next {
            Some(next) => from = next,
            None => return Ok((found, checked)),
        }
    }
}

/// What an exported head knows and the database does not any more. The chain up to there is whole.
async fn lost(db: &Db, exported: &SignedHead) -> Result<Option<Broken>, CommandError> {
    let organization = exported.organization;
    if exported.sequence == 0 {
        return Ok(None);
    }
    let row = db.operate("verify_audit_log", async |tx| read::find(tx, organization, exported.sequence).await).await?;
    Ok(match row {
        Some(row) if row.hash == exported.hash => None,
        Some(row) => Some(Broken { sequence: row.sequence, why: BreakReason::HeadDiffers }),
        None => {
            let last = end(db, organization).await?.last;
            Some(Broken { sequence: last.saturating_add(1), why: BreakReason::Missing })
        }
    })
}

/// A file against a head: it must hold the head's row, and may go on behind it.
fn in_file(path: &Path, exported: Option<&SignedHead>) -> Result<Report, CommandError> {
    let strange = || CommandError::File { path: path.to_owned(), expected: "rows of one organization" };
    let mut log = ExportedLog::open(path)?;
    let first = log.next()?;
    let organization = exported.map(|head| head.organization).or(first.as_ref().map(|(owner, _)| *owner));
    let organization = organization.ok_or_else(strange)?;
    let (mut walk, mut checked, mut next) = (ChainWalk::begin(organization), 0_u64, first);
    let mut first_broken = None;
    while let Some((owner, row)) = next {
        if owner != organization {
            return Err(strange());
        }
        first_broken = walk.step(&row).err();
        let is_head = exported.is_some_and(|head| head.sequence == row.sequence);
        if first_broken.is_none() && is_head {
            first_broken = exported.and_then(|head| walk.end(head.point()).err());
        }
        if first_broken.is_some() {
            break;
        }
        checked = checked.saturating_add(1);
        next = log.next()?;
    }
    let is_short = first_broken.is_none() && exported.is_some_and(|head| walk.point().sequence < head.sequence);
    if is_short {
        first_broken = exported.and_then(|head| walk.end(head.point()).err());
    }
    let whole = first_broken.is_none();
    Ok(Report { organization, whole, checked, first_broken, head: walk.point(), head_signature: None })
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(broken) => broken.fmt(f),
            Self::Signature => f.write_str("the exported head was not signed by this platform"),
        }
    }
}
