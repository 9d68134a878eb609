//! What allows and what forbids the scan of one target, read in one statement for whoever plans it. Decides nothing.

use ipnet::IpNet;
use jiff::Timestamp;
use picket_domain::{
    AuthorizationId, Basis, Exclusion, Ground, Grounds, LOOK_LASTS, ProofDigest, ProofId, ProofMethod, Reach,
    StaleProof, Target,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{Inconsistent, StoreError, View, row::Columns, statements::statements};

statements! {
    // A function, since the tenant must be named before a row is looked at.
    LOAD = "-- grounds.load
SELECT proofs, authorizations, exclusions, ranges
FROM picket_grounds($1, $2, $3)";
}

/// What holds now for the target that is asked for; for a text that is no target, what holds for every one.
///
/// # Errors
/// When the database refuses, or an exclusion cannot be read: then nothing of that organization is allowed.
#[tracing::instrument(name = "db.grounds.load", skip_all, err(level = "debug"))]
pub async fn load(view: &View<'_>, asked: &str, now: Timestamp) -> Result<Grounds, StoreError> {
    let row = view.query_opt(LOAD, &[&names(asked), &now]).await?;
    let row = row.ok_or(Inconsistent { table: "target_proofs", column: "id" })?;
    let columns = Columns::new("target_proofs", &row);
    let stored: Vec<StoredProof> = columns.json("proofs")?;
    let fresh_from = now.saturating_sub(LOOK_LASTS).unwrap_or(Timestamp::MIN);
    let stale = stored.iter().filter(|one| one.is_stale(fresh_from)).filter_map(StoredProof::stale).collect();
    let written: Vec<(Uuid, String, String)> = columns.json("authorizations")?;
    let proofs = stored.iter().filter_map(|stored| or_tell("target_proofs", stored.ground()));
    let written = written.iter().filter_map(|stored| or_tell("target_authorizations", of_writing(stored)));
    let exclusions: Vec<&str> = columns.get("exclusions")?;
    let exclusions = exclusions.into_iter().map(Exclusion::parse).collect::<Result<_, _>>().ok();
    let ranges: Vec<&str> = columns.get("ranges")?;
    let ranges = ranges.into_iter().filter_map(|range| or_tell("organization_ranges", range.parse::<IpNet>().ok()));
    Ok(Grounds {
        grounds: proofs.chain(written).collect(),
        ranges: ranges.collect(),
        stale,
        // Nobody knows what it keeps out, so nothing goes.
        exclusions: or_tell("exclusions", exclusions).ok_or_else(|| columns.inconsistent("exclusions"))?,
    })
}

/// What was read, or a word to the operator: what cannot be read any more (another list of public suffixes) allows nothing,
/// and keeps nothing else from being allowed.
fn or_tell<T>(table: &'static str, read: Option<T>) -> Option<T> {
    if read.is_none() {
        tracing::warn!(table, "a row cannot be read any more, it allows nothing");
        metrics::counter!("picket_unreadable_rows_total", "table" => table).increment(1);
    }
    read
}

/// A proof as the database tells it: id, method, target, digest in hex, when it was looked for last, how often it was
/// missing since.
#[derive(Deserialize)]
struct StoredProof(Uuid, String, String, String, Option<Timestamp>, i32);

impl StoredProof {
    fn ground(&self) -> Option<Ground> {
        let (method, target) = (ProofMethod::find(&self.1)?, Target::parse(&self.2).ok()?);
        Some(Ground {
            basis: Basis::Proof(ProofId::from_uuid(self.0)),
            reach: Reach::of_proof(method, &target),
            target,
        })
    }

    fn is_stale(&self, fresh_from: Timestamp) -> bool {
        let Self(.., checked_at, failures) = self;
        *failures > 0 || checked_at.is_none_or(|checked_at| checked_at < fresh_from)
    }

    fn stale(&self) -> Option<StaleProof> {
        let Self(id, method, target, digest, _, failures) = self;
        let digest: Option<Vec<u8>> = (0..digest.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(digest.get(at..at.saturating_add(2))?, 16).ok())
            .collect();
        Some(StaleProof {
            id: ProofId::from_uuid(*id),
            target: Target::parse(target).ok()?,
            method: ProofMethod::find(method)?,
            digest: ProofDigest::stored(&digest?)?,
            was_missing: *failures > 0,
        })
    }
}

fn of_writing((id, scope, target): &(Uuid, String, String)) -> Option<Ground> {
    let basis = Basis::Authorization(AuthorizationId::from_uuid(*id));
    Some(Ground { basis, target: Target::parse(target).ok()?, reach: Reach::find(scope)? })
}

/// The target's canonical text, and the names above it that a proof may have been given for.
fn names(asked: &str) -> Vec<String> {
    let Ok(target) = Target::parse(asked) else { return Vec::new() };
    let text = target.to_string();
    if target.host().is_none() {
        return vec![text];
    }
    let above = text.match_indices('.').filter_map(|(dot, _)| text.get(dot.saturating_add(1)..));
    let above: Vec<String> = above.map(ToOwned::to_owned).collect();
    std::iter::once(text).chain(above).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_above_a_host_are_asked_for_too() {
        assert_eq!(names("A.b.example.com"), ["a.b.example.com", "b.example.com", "example.com", "com"]);
        assert_eq!(names("192.0.2.1"), ["192.0.2.1"]);
        assert!(names("no target").is_empty());
    }
}
