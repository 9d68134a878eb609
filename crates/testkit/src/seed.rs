//! Rows that many tests begin with.

use picket_domain::{
    Authority, Basis, Dialect, Needs, NewScan, NewTask, OrganizationId, Plan, Pool, SandboxLevel, ScanId, ScanLimits,
    Shard, Subscription, TaskId,
};

use crate::Database;

/// An organization with that subscription and nothing else.
///
/// # Panics
/// When the database refuses.
pub async fn organization(database: &Database, subscription: Subscription) -> OrganizationId {
    let id = OrganizationId::mint(jiff::Timestamp::now());
    let client = database.connect().await;
    client
        .execute(
            "INSERT INTO organizations (id, created_at, name, plan) VALUES ($1, now(), 'Acme', $2)",
            &[&id.uuid(), &subscription.name()],
        )
        .await
        .expect("an organization");
    client
        .execute("INSERT INTO organization_counters (organization_id) VALUES ($1)", &[&id.uuid()])
        .await
        .expect("its counters");
    id
}

/// A custom nmap scan of 127.0.0.1 with that many tasks, not stored yet.
#[must_use]
pub fn scan(organization_id: OrganizationId, tasks: usize) -> NewScan {
    let now = jiff::Timestamp::now();
    let task = |_| NewTask {
        id: TaskId::mint(now),
        tool: "nmap",
        needs: Needs { pool: Pool::Net, level: SandboxLevel::L2 },
        params: serde_json::json!({}),
        shard: Shard {
            target: "127.0.0.1".to_owned(),
            addresses: vec!["127.0.0.1".parse().expect("an address")],
            hosts: Vec::new(),
        },
        opens: Vec::new(),
    };
    NewScan {
        id: ScanId::mint(now),
        organization_id,
        dialect: Dialect::V1,
        plan: Plan::Custom,
        target: "127.0.0.1".to_owned(),
        tool: Some("nmap"),
        request: serde_json::json!({}),
        notify: Vec::new(),
        gaps: Vec::new(),
        tasks: (0..tasks).map(task).collect(),
        later: Vec::new(),
        authority: Authority::of(Basis::Operator),
        probes: 1_000,
        limits: ScanLimits::default(),
        requested_by: "usr_test".to_owned(),
        traceparent: None,
    }
}
