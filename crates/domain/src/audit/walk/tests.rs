//! Every way to change a chain, row by row.

use proptest::prelude::*;

use super::*;

fn organization() -> OrganizationId {
    OrganizationId::from_uuid(uuid::Uuid::from_u128(7))
}

/// A chain of so many rows, as it is stored.
fn rows(count: i64) -> Vec<AuditRow> {
    let mut point = AuditPoint::start(organization());
    (1..=count)
        .map(|sequence| {
            let at: Timestamp = Timestamp::from_second(1_700_000_000 + sequence).unwrap();
            let entry = format!(r#"{{"at":"{at}","actor":"operator","action":"scan.created","object":"{sequence}"}}"#);
            let hash = AuditHash(chain(&point.hash.0, sequence, &entry));
            point = AuditPoint { sequence, hash };
            AuditRow { sequence, at, entry, hash }
        })
        .collect()
}

fn head(rows: &[AuditRow]) -> AuditPoint {
    rows.last().map(|row| AuditPoint { sequence: row.sequence, hash: row.hash }).unwrap()
}

fn walk(rows: &[AuditRow], head: AuditPoint) -> Result<(), Broken> {
    let mut walk = ChainWalk::begin(organization());
    rows.iter().try_for_each(|row| walk.step(row))?;
    walk.end(head)
}

fn broken(sequence: i64, why: BreakReason) -> Result<(), Broken> {
    Err(Broken { sequence, why })
}

#[test]
fn what_was_written_is_whole() {
    let rows = rows(20);
    assert_eq!(walk(&rows, head(&rows)), Ok(()));
    let mut middle = ChainWalk::after(head(&rows[..10]));
    assert!(rows[10..].iter().all(|row| middle.step(row).is_ok()));
    assert_eq!(middle.point(), head(&rows));
    let mut stranger = ChainWalk::begin(OrganizationId::from_uuid(uuid::Uuid::from_u128(8)));
    assert_eq!(stranger.step(&rows[0]), broken(1, BreakReason::Altered), "a chain belongs to its organization");
}

#[test]
fn rows_that_were_removed_moved_or_cut_off_are_named() {
    let rows = rows(20);
    let head = head(&rows);
    let mut removed = rows.clone();
    removed.remove(4);
    assert_eq!(walk(&removed, head), broken(5, BreakReason::Missing));
    let mut swapped = rows.clone();
    swapped.swap(6, 7);
    assert_eq!(walk(&swapped, head), broken(7, BreakReason::Missing));
    let mut renumbered = swapped;
    (renumbered[6].sequence, renumbered[7].sequence) = (7, 8);
    assert_eq!(walk(&renumbered, head), broken(7, BreakReason::Altered));
    let mut twice = rows.clone();
    twice.insert(3, rows[2].clone());
    assert_eq!(walk(&twice, head), broken(3, BreakReason::OutOfOrder));
    assert_eq!(walk(&rows[..15], head), broken(16, BreakReason::Missing));
    assert_eq!(walk(&[], head), broken(1, BreakReason::Missing));
}

#[test]
fn a_head_that_says_something_else_is_named() {
    let rows = rows(5);
    assert_eq!(walk(&rows, head(&rows[..3])), broken(4, BreakReason::BeyondHead));
    let other = AuditPoint { sequence: 5, hash: AuditHash([0; 32]) };
    assert_eq!(walk(&rows, other), broken(5, BreakReason::HeadDiffers));
}

#[test]
fn a_time_is_compared_to_the_microsecond() {
    let mut rows = rows(3);
    let head = head(&rows);
    rows[1].at += jiff::SignedDuration::from_nanos(999);
    assert_eq!(walk(&rows, head), Ok(()));
    rows[1].at += jiff::SignedDuration::from_nanos(1);
    assert_eq!(walk(&rows, head), broken(2, BreakReason::TimeAltered));
}

#[test]
fn a_hash_is_read_as_it_is_written() {
    let hash = AuditHash(std::array::from_fn(|place| u8::try_from(place * 8).unwrap()));
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for text in ["", "0", &"g".repeat(64), &"0".repeat(65), &"é".repeat(32), &format!("+{}", "0".repeat(63))] {
        assert_eq!(text.parse::<AuditHash>(), Err(AuditHashError), "{text}");
    }
}

proptest! {
    #[test]
    fn any_change_of_one_row_is_named_at_that_row(place in 0_usize..12, byte in 0_usize..500, flip in 1_u8..128) {
        let mut rows = rows(12);
        let head = head(&rows);
        let mut bytes = rows[place].entry.clone().into_bytes();
        let length = bytes.len();
        bytes[byte % length] ^= flip;
        let Ok(entry) = String::from_utf8(bytes) else { return Ok(()) };
        rows[place].entry = entry;
        prop_assert_eq!(walk(&rows, head), broken(i64::try_from(place).unwrap() + 1, BreakReason::Altered));
    }
}
