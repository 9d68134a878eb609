//! What the broker puts aside is written down with the queue that did, once, and is gone from the broker.

use picket_domain::Pool;
use picket_queue::{Message, topology::Queue};
use picket_steward::DeadLetters;

use crate::stage::Stage;

#[tokio::test]
async fn what_nobody_could_take_is_written_down_by_its_queue() {
    let stage = Stage::new().await;
    let publisher = stage.broker.publisher();
    for (queue, key) in [(Queue::Tasks(Pool::Net), "task.queued.net"), (Queue::Reports, "report.requested")] {
        publisher.publish(&[Message { routing_key: key, id: "x", body: b"garbage" }]).await.pop().unwrap().unwrap();
        stage.broker.consumer(queue).take().await.put_aside().await.unwrap();
    }
    let two = [0, 1].map(|_| DeadLetters::new(stage.db.clone(), &stage.broker));
    let (one, other) = tokio::join!(two[0].write_down(), two[1].write_down());
    assert!(one.is_ok() && other.is_ok());
    let sql = "SELECT string_agg(queue || ' ' || reason || ' ' || routing_key || ' ' || convert_from(content, 'UTF8'), ', ' ORDER BY queue)
               FROM dead_letters";
    let written: String = stage.database.connect().await.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(written, "reports rejected report.requested garbage, tasks.net rejected task.queued.net garbage");
}
