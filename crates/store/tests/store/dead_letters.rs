//! Messages that nobody could take, written down.

use picket_store::dead_letters::{self, DeadLetter};

use crate::scenario::Scenario;

#[tokio::test]
async fn whatever_was_put_aside_is_counted_by_its_queue_and_its_beginning_is_kept() {
    let scenario = Scenario::new().await;
    let long = vec![0xff_u8; 10_000];
    let letters: [(&str, &[u8]); 3] = [("tasks.net", b"{}"), ("reports", &long), ("tasks.net", b"")];
    for (queue, content) in letters {
        let letter = DeadLetter { queue, reason: "rejected", routing_key: "nul \0", content };
        scenario.db.operate("test", async |tx| dead_letters::add(tx, letter).await).await.unwrap();
    }
    let counts = scenario.db.operate("test", async |tx| dead_letters::counts(tx).await).await.unwrap();
    let counts: Vec<(&str, i64)> = counts.iter().map(|one| (one.queue.as_str(), one.letters)).collect();
    assert_eq!(counts, [("reports", 1), ("tasks.net", 2)]);
    let kept =
        scenario.row("SELECT size_bytes, octet_length(content) FROM dead_letters WHERE queue = 'reports'", &[]).await;
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, i32>(1)), (10_000, 4_096));
}
