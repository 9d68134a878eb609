//! `picket admin rotate-key`: seals every secret in the database anew, with the platform's present key. Safe beside running
//! gateways: a value is replaced only where it is still what was read. Whatever is left over is found by the next run.

use picket_kit::{SealError, Sealer};
use picket_store::sealed::{self, SealedColumn, SealedRow};

use crate::{CommandError, roles::Parts};

/// Rows of one transaction.
const BATCH: i64 = 200;
/// How often a column is gone through while running roles change it under our hands.
const MOST_PASSES: usize = 5;

/// What became of a column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    rewrapped: u64,
    /// Changed by others meanwhile.
    missed: u64,
    /// No key opens them.
    unreadable: u64,
}

/// Goes through every column; one line each.
pub(super) async fn run(parts: &Parts) -> Result<(), CommandError> {
    let sealer = parts.sealer()?;
    let (mut rewrapped, mut unreadable) = (0_u64, 0_u64);
    for column in SealedColumn::ALL.iter().copied() {
        let counts = exhaust(parts, &sealer, column).await?;
        let name = format!("{}.{}", column.table(), column.column());
        println!("{name}: {} rewrapped, {} unreadable", counts.rewrapped, counts.unreadable);
        rewrapped = rewrapped.saturating_add(counts.rewrapped);
        unreadable = unreadable.saturating_add(counts.unreadable);
    }
    if unreadable > 0 {
        return Err(CommandError::Unreadable(unreadable));
    }
    println!("{rewrapped} secrets rewrapped; nothing is sealed with a previous key any more");
    Ok(())
}

/// Passes over a column until one finds nothing that others changed meanwhile.
async fn exhaust(parts: &Parts, sealer: &Sealer, column: SealedColumn) -> Result<Counts, CommandError> {
    let mut total = Counts::default();
    for _ in 0..MOST_PASSES {
        let found = pass(parts, sealer, column).await?;
        total = Counts { rewrapped: total.rewrapped.saturating_add(found.rewrapped), ..found };
        if found.missed == 0 {
            return Ok(total);
        }
    }
    Err(CommandError::Unsettled(total.missed))
}

async fn pass(parts: &Parts, sealer: &Sealer, column: SealedColumn) -> Result<Counts, CommandError> {
    let (mut counts, mut after, mark) = (Counts::default(), None, sealer.mark());
    loop {
        let rows = parts
            .db
            .operate("read_sealed", async |tx| sealed::read(tx, column, after.as_deref(), &mark, BATCH).await)
            .await?;
        let Some(last) = rows.last() else { return Ok(counts) };
        after = Some(last.key.clone());
        let mut resealed = Vec::new();
        for row in rows {
            match reseal(sealer, &row) {
                Ok(bytes) => resealed.push((row, bytes)),
                Err(error) => {
                    eprintln!("picket: {}.{} of {}: {}", column.table(), column.column(), row.key, error);
                    counts.unreadable = counts.unreadable.saturating_add(1);
                }
            }
        }
        let now = parts.clock.now();
        let replaced =
            parts.db.operate("replace_sealed", async |tx| sealed::replace(tx, column, &resealed, now).await).await?;
        let wanted = u64::try_from(resealed.len()).unwrap_or_default();
        counts.rewrapped = counts.rewrapped.saturating_add(replaced);
        counts.missed = counts.missed.saturating_add(wanted.saturating_sub(replaced));
    }
}

fn reseal(sealer: &Sealer, row: &SealedRow) -> Result<Vec<u8>, SealError> {
    sealer.seal(&sealer.open(&row.sealed, &row.place)?, &row.place)
}
