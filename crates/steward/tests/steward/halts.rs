//! The kill switch, as the steward keeps it.

use picket_domain::{AuditAction, AuditEntry};
use picket_steward::Halter;
use picket_store::halts::{self, Halt, HaltBy, HaltScope};

use crate::stage::Stage;

#[tokio::test]
async fn two_halters_stop_each_scan_once_and_what_is_lifted_goes_on() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        stage.create(2).await;
    }
    let now = stage.clock.now();
    let entry = AuditEntry {
        at: now,
        actor: "usr_operator".to_owned(),
        action: AuditAction::ScanningHalted,
        object: None,
        address: None,
        request_id: None,
        before: None,
        after: None,
    };
    let by = HaltBy { organization_id: stage.organization, entry };
    let scope = HaltScope::default();
    let halt = Halt {
        scope: scope.clone(),
        created_at: now,
        created_by: "usr_operator".to_owned(),
        reason: "an incident".to_owned(),
    };
    assert!(stage.db.operate("test", async |tx| halts::throw(tx, &halt, &by).await).await.unwrap());
    let (one, other) =
        (Halter::new(stage.db.clone(), stage.clock.clone()), Halter::new(stage.db.clone(), stage.clock.clone()));
    let (first, second) = tokio::join!(one.stop_covered(), other.stop_covered());
    assert_eq!(first.unwrap() + second.unwrap(), 3);
    assert_eq!(stage.count("SELECT count(*) FROM scans WHERE state = 'cancelled'").await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE state = 'cancelled'").await, 6);
    let told = "SELECT count(*) FROM audit_log WHERE action = 'scan.stopped' AND entry LIKE '%an incident%'";
    assert_eq!(stage.count(told).await, 3);
    assert!(stage.db.operate("test", async |tx| halts::lift(tx, &scope, &by).await).await.unwrap());
    stage.create(1).await;
    assert_eq!(one.stop_covered().await.unwrap(), 0);
}
