//! That a reader is told of each change of rights once, as soon as it is committed and not before.

use picket_domain::{Subscription, UserId};
use picket_store::{
    StoreError,
    rights::{Changed, MOST, Reader},
};
use picket_testkit::seed;

use crate::scenario::{Scenario, now};

async fn read(scenario: &Scenario, reader: &mut Reader) -> Changed {
    scenario.db.look_up("test", async |tx| Ok::<_, StoreError>(reader.read(tx).await?)).await.unwrap()
}

fn suspend(organization: picket_domain::OrganizationId) -> String {
    format!(
        "UPDATE organizations SET suspended_at = now(), suspended_reason = 'x' WHERE id = '{}'",
        organization.uuid()
    )
}

#[tokio::test]
async fn a_change_is_told_once_even_if_its_transaction_began_long_before() {
    let scenario = Scenario::new().await;
    let other = seed::organization(&scenario.database, Subscription::Trial).await;
    let (mut reader, mut late) = (Reader::default(), scenario.database.connect().await);
    assert_eq!(read(&scenario, &mut reader).await, Changed::Perhaps, "the first question");
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]));

    let began = late.transaction().await.unwrap();
    began.batch_execute(&suspend(scenario.organization)).await.unwrap();
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]), "it is not committed");
    scenario.execute(&suspend(other)).await;
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![other.into()]));
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]), "it was told");
    began.commit().await.unwrap();
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![scenario.organization.into()]));
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]));
}

#[tokio::test]
async fn what_is_rolled_back_or_decides_nothing_is_not_told() {
    let scenario = Scenario::new().await;
    let (mut reader, mut client) = (Reader::default(), scenario.database.connect().await);
    read(&scenario, &mut reader).await;
    let began = client.transaction().await.unwrap();
    began.batch_execute(&suspend(scenario.organization)).await.unwrap();
    began.rollback().await.unwrap();
    scenario.execute("UPDATE organizations SET event_sequence = event_sequence + 1, name = 'other'").await;
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]));
}

#[tokio::test]
async fn tenants_can_neither_read_nor_write_what_is_told_and_yet_their_changes_are() {
    let scenario = Scenario::new().await;
    let (mut reader, client) = (Reader::default(), scenario.database.connect().await);
    read(&scenario, &mut reader).await;
    client.batch_execute("SET ROLE picket_tenant").await.unwrap();
    for sql in [
        "SELECT FROM rights_changes",
        "INSERT INTO rights_changes (subject) VALUES (gen_random_uuid())",
        "DELETE FROM rights_changes",
    ] {
        let refused = client.execute(sql, &[]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE), "{sql}");
    }
    let own = format!("SET picket.organization = '{}'", scenario.organization.uuid());
    client.batch_execute(&own).await.unwrap();
    client.batch_execute("UPDATE organizations SET require_mfa = true").await.unwrap();
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![scenario.organization.into()]));
}

#[tokio::test]
async fn of_very_many_changes_it_is_only_told_that_there_were_many() {
    let scenario = Scenario::new().await;
    let mut reader = Reader::default();
    read(&scenario, &mut reader).await;
    let many = |count: usize| {
        format!("INSERT INTO rights_changes (subject) SELECT gen_random_uuid() FROM generate_series(1, {count})")
    };
    scenario.execute(&many(MOST + 1)).await;
    assert_eq!(read(&scenario, &mut reader).await, Changed::Perhaps);
    scenario.execute(&many(MOST)).await;
    assert!(matches!(read(&scenario, &mut reader).await, Changed::Of(all) if all.len() == MOST));
}

#[tokio::test]
async fn a_person_who_loses_a_membership_is_told_of() {
    let scenario = Scenario::new().await;
    let mut reader = Reader::default();
    let (user, organization) = (UserId::mint(now()), scenario.organization.uuid());
    scenario
        .execute(&format!(
            "INSERT INTO users (id, created_at, email, name, password_hash) VALUES ('{}', now(), 'a@b.c', 'A', 'x')",
            user.uuid()
        ))
        .await;
    scenario
        .execute(&format!(
            "INSERT INTO memberships (organization_id, user_id, role, created_at) VALUES ('{organization}', '{}', 'admin', now())",
            user.uuid()
        ))
        .await;
    read(&scenario, &mut reader).await;
    scenario.execute("UPDATE memberships SET last_seen_at = now()").await;
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![]));
    scenario.execute("DELETE FROM memberships").await;
    assert_eq!(read(&scenario, &mut reader).await, Changed::Of(vec![user.into()]));
}
