//! `picket admin`: what operators change by hand, each change in one transaction with its row in the audit log. Prints one
//! line; never a secret.

mod rotation;

use jiff::{SignedDuration, Timestamp};
use picket_domain::{OrganizationId, Subscription};
use picket_kit::Clock;
use picket_store::{
    Db, Tx,
    administration::{self, Administered, OrganizationChange, OrganizationRow, UserChange},
    ranges,
};

use crate::{AdminCommand, CommandError, OrganizationCommand, RangeArguments, Settings, UserCommand, roles::Parts};

/// How long a trial lasts that an operator gives.
const TRIAL: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Organizations that are read at once.
const PAGE: i64 = 500;

/// Does what the operator asked.
pub(crate) async fn run(settings: Settings, command: AdminCommand) -> Result<(), CommandError> {
    let parts = Parts::new(settings)?;
    match command {
        AdminCommand::Organization(OrganizationCommand::List) => list(&parts.db).await,
        AdminCommand::Organization(command) => organization(&parts, command).await,
        AdminCommand::AllowRange(range) => set_range(&parts, range, true).await,
        AdminCommand::WithdrawRange(range) => set_range(&parts, range, false).await,
        AdminCommand::User(command) => user(&parts, command).await,
        AdminCommand::RotateKey => rotation::run(&parts).await,
    }
}

/// Gives an organization another plan; returns the line that says so.
///
/// # Errors
/// [`CommandError::Unknown`] when there is none, or when the database refuses.
pub(crate) async fn set_plan(
    db: &Db,
    clock: &Clock,
    id: OrganizationId,
    plan: Subscription,
) -> Result<String, CommandError> {
    let now = clock.now();
    let trial = (plan == Subscription::Trial).then(|| now.saturating_add(TRIAL).unwrap_or(now));
    let done = change(db, id, &OrganizationChange::Plan(plan, trial), now).await?;
    Ok(line(&format!("organization {id}"), &format!("on plan {}", plan.name()), done))
}

async fn organization(parts: &Parts, command: OrganizationCommand) -> Result<(), CommandError> {
    let now = parts.clock.now();
    let said = match command {
        OrganizationCommand::List => return list(&parts.db).await,
        OrganizationCommand::SetPlan { organization, plan } => {
            set_plan(&parts.db, &parts.clock, organization, plan).await?
        }
        OrganizationCommand::Suspend { organization, reason } => {
            let done = change(&parts.db, organization, &OrganizationChange::Suspend(reason), now).await?;
            line(&format!("organization {organization}"), "suspended", done)
        }
        OrganizationCommand::Resume { organization } => {
            let done = change(&parts.db, organization, &OrganizationChange::Resume, now).await?;
            line(&format!("organization {organization}"), "not suspended", done)
        }
    };
    println!("{said}");
    Ok(())
}

/// Opens or closes a range for an organization.
async fn set_range(parts: &Parts, range: RangeArguments, is_open: bool) -> Result<(), CommandError> {
    let RangeArguments { organization, range } = range;
    let now = parts.clock.now();
    let work = async |tx: &Tx<'_>| ranges::set(tx, organization, range, is_open, now).await;
    let done = parts.db.operate("set_range", work).await?;
    if done == Administered::Unknown {
        return Err(CommandError::Unknown("an organization"));
    }
    let state = if is_open { "open" } else { "closed" };
    println!("{}", line(&format!("range {range} of organization {organization}"), state, done));
    Ok(())
}

async fn user(parts: &Parts, command: UserCommand) -> Result<(), CommandError> {
    let (email, change, state) = match command {
        UserCommand::Disable { email } => (email, UserChange::Disable, "disabled"),
        UserCommand::Enable { email } => (email, UserChange::Enable, "enabled"),
        UserCommand::ResetMfa { email } => (email, UserChange::ResetMfa, "without a second factor"),
        UserCommand::MakeOperator { email } => (email, UserChange::Operator(true), "an operator"),
        UserCommand::UnmakeOperator { email } => (email, UserChange::Operator(false), "no operator"),
        UserCommand::RevokeSessions { email } => (email, UserChange::RevokeSessions, "signed out everywhere"),
    };
    let now = parts.clock.now();
    let done = parts
        .db
        .operate("administer_user", async |tx| administration::change_user(tx, &email, change, now).await)
        .await?;
    if done == Administered::Unknown {
        return Err(CommandError::Unknown("a user"));
    }
    println!("{}", line(&format!("user {email}"), state, done));
    Ok(())
}

async fn change(
    db: &Db,
    id: OrganizationId,
    change: &OrganizationChange,
    now: Timestamp,
) -> Result<Administered, CommandError> {
    let done = db
        .operate("administer_organization", async |tx| administration::change_organization(tx, id, change, now).await)
        .await?;
    if done == Administered::Unknown { Err(CommandError::Unknown("an organization")) } else { Ok(done) }
}

fn line(who: &str, state: &str, done: Administered) -> String {
    let already = if done == Administered::Unchanged { " already" } else { "" };
    format!("{who} is {state}{already}")
}

async fn list(db: &Db) -> Result<(), CommandError> {
    let mut after = None;
    loop {
        let page =
            db.operate("list_organizations", async |tx| administration::organizations(tx, after, PAGE).await).await?;
        for row in &page {
            println!("{}", shown(row));
        }
        match page.last() {
            Some(row) => after = Some(row.id),
            None => return Ok(()),
        }
    }
}

/// One line; what people named cannot add columns or lines to it.
fn shown(row: &OrganizationRow) -> String {
    let plain = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let state = match &row.suspended {
        Some(suspended) => format!("suspended: {}", plain(&suspended.reason)),
        None => "active".to_owned(),
    };
    let (plan, members) = (row.subscription.name(), row.members);
    format!("{}\t{plan}\t{members}\t{}\t{state}\t{}", row.id, row.created_at, plain(&row.name))
}

#[cfg(test)]
mod tests {
    use picket_store::administration::Suspension;

    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line() {
        let at: Timestamp = "2026-01-15T14:30:00Z".parse().unwrap();
        let row = OrganizationRow {
            id: OrganizationId::mint(at),
            created_at: at,
            name: "Acme\norg_0\tenterprise\u{1b}[31m".to_owned(),
            subscription: Subscription::Trial,
            trial_ends_at: None,
            suspended: Some(Suspension { at, reason: "unpaid\tbill".to_owned() }),
            members: 2,
        };
        let line = shown(&row);
        assert_eq!(line.split('\t').count(), 6, "{line}");
        assert!(!line.contains(['\n', '\u{1b}']) && line.contains("suspended: unpaid bill"), "{line}");
    }
}
