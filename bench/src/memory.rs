//! (j) Memory of each role while a hundred thousand tasks wait, beside what it had without any.

use std::time::Duration;

use serde_json::json;

use crate::{
    Failure,
    figure::Figure,
    ground::Ground,
    renderer,
    role::{Role, RoleName},
};

/// Organizations with two scans of 3,125 tasks each.
const ORGANIZATIONS: usize = 16;
const TASKS: u32 = 3_125;
/// How long the roles work with them.
const WORKED: Duration = Duration::from_secs(15);

pub(crate) async fn measure() -> Result<Vec<Figure>, Failure> {
    let ground = Ground::new(ORGANIZATIONS).await?;
    let mut roles: Vec<(&str, Role)> = Vec::new();
    for (name, role) in
        [("dispatcher", RoleName::Dispatcher), ("gateway", RoleName::Gateway), ("steward", RoleName::Steward)]
    {
        roles.push((name, ground.start(role).await?));
    }
    roles.extend(ground.workers(1, 8).await?.into_iter().map(|role| ("worker", role)));
    let renderer = renderer::start(&ground)?;
    let renders = renderer.is_some();
    roles.extend(renderer.map(|role| ("renderer (the product's program)", role)));
    // Something of everything was done once.
    ground.scan_each(&json!({"findings": 10})).await?;
    ground.await_done(i64::try_from(ORGANIZATIONS)?).await?;
    let scan = ground.scan(*ground.organizations.first().ok_or("an organization")?, &json!({"findings": 10})).await?;
    ground.await_done(i64::try_from(ORGANIZATIONS)? + 1).await?;
    if renders {
        renderer::report(&ground, scan).await?;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = roles.iter().map(|(_, role)| role.resident_mb()).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..2 {
        ground.scan_each(&json!({"tasks": TASKS, "sleep_ms": 100, "findings": 10})).await?;
    }
    if renders {
        renderer::report(&ground, scan).await?;
    }
    tokio::time::sleep(WORKED).await;
    let mut figures = Vec::new();
    for ((name, role), before) in roles.iter().zip(before) {
        let name = format!("(j) memory of the {name} at 100,000 waiting tasks");
        figures.push(Figure::new(name, role.resident_mb()?, "MB").beside("without any", before));
    }
    Ok(figures)
}
