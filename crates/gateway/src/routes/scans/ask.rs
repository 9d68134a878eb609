//! What a create of either version asks for, until it is stored: a choice, what is wanted by it, and the plan of it.

use actix_web::HttpResponse;
use jiff::Timestamp;
use picket_domain::{AuditAction, Dialect, NewScan, Plan, ProfileId};
use picket_planner::{Asker, BuiltIn, PlanRefused, ScanOptions, ScanOrder, Wanted};
use picket_store::{
    profiles::{self, Used},
    scans::{self, Created},
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{App, Caller, Problem, RequestContext, idempotency};

/// A plan by its name.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::routes) enum ScanTypeV2 {
    /// The 100 most common ports and their versions.
    Quick,
    /// The 1,000 most common ports with versions and safe scripts, the web and TLS.
    Full,
    /// What the options name, and nothing else.
    Custom,
}

impl From<ScanTypeV2> for Plan {
    fn from(wanted: ScanTypeV2) -> Self {
        match wanted {
            ScanTypeV2::Quick => Self::Quick,
            ScanTypeV2::Full => Self::Full,
            ScanTypeV2::Custom => Self::Custom,
        }
    }
}

/// What a plan looks at; what is absent is as the plan has it. An option without a tool yet is accepted, and the coverage
/// says `tool_unavailable`.
#[derive(Debug, Default, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct OptionsV2 {
    /// Names below the target.
    include_subdomain: Option<bool>,
    /// Open ports and the services behind them.
    port_scan: Option<bool>,
    /// Web applications.
    web_scan: Option<bool>,
    /// TLS and certificates.
    ssl_scan: Option<bool>,
}

impl OptionsV2 {
    pub(in crate::routes) fn under(&self, plan: Plan) -> ScanOptions {
        let usual = ScanOptions::of(plan);
        ScanOptions {
            include_subdomain: self.include_subdomain.unwrap_or(usual.include_subdomain),
            port_scan: self.port_scan.unwrap_or(usual.port_scan),
            web_scan: self.web_scan.unwrap_or(usual.web_scan),
            ssl_scan: self.ssl_scan.unwrap_or(usual.ssl_scan),
        }
    }
}

/// A field that says what a profile says already.
pub(super) fn beside_a_profile(field: &'static str) -> Problem {
    Problem::field(field, "conflict", "expected either this field or `profile`")
}

/// What to do, as it was asked.
#[derive(Debug)]
pub(super) enum Choice {
    /// Said in full.
    Wanted(Wanted),
    /// The name or the id of a profile, as it was written.
    Profile(String),
}

/// A scan that is asked for.
#[derive(Debug)]
pub(in crate::routes) struct Ask {
    pub(super) target: String,
    pub(super) notify: Vec<String>,
    pub(super) choice: Choice,
}

/// A scan that is asked for, with what its profile says.
pub(in crate::routes) struct Chosen {
    pub(super) target: String,
    notify: Vec<String>,
    wanted: Wanted,
    profile: Option<Used>,
}

/// A scan that can be stored.
pub(super) struct Planned {
    pub(super) scan: NewScan,
    profile: Option<Used>,
}

impl Ask {
    /// Looks the profile up.
    pub(in crate::routes) async fn chosen(self, app: &App, caller: &Caller) -> Result<Chosen, Problem> {
        let Self { target, notify, choice } = self;
        let (wanted, profile) = match choice {
            Choice::Wanted(wanted) => (wanted, None),
            Choice::Profile(name) => {
                let (wanted, used) = profile(app, caller, &name).await?;
                (wanted, Some(used))
            }
        };
        Ok(Chosen { target, notify, wanted, profile })
    }
}

/// The newest version of a profile. One of another organization is as unknown as one that nobody has.
async fn profile(app: &App, caller: &Caller, name: &str) -> Result<(Wanted, Used), Problem> {
    if let Some(built_in) = BuiltIn::find(name) {
        return Ok((built_in.wanted(), Used { profile: built_in.name.to_owned(), version: None }));
    }
    let unknown = || Problem::field("profile", "unknown_profile", "expected the name or the id of a profile of yours");
    let id: ProfileId = name.parse().map_err(|_| unknown())?;
    let found =
        app.db.read("find_profile", caller.organization_id, async |tx| Ok::<_, Problem>(profiles::find(tx, id).await?));
    let found = found.await?.ok_or_else(unknown)?;
    let wanted =
        Wanted::from_json(&found.wanted).ok_or_else(|| Problem::internal("a stored profile cannot be read"))?;
    Ok((wanted, Used { profile: id.to_string(), version: Some(found.version) }))
}

impl Chosen {
    /// The tool, as it was written, when it is one.
    pub(super) fn tool(&self) -> Option<&str> {
        if let Wanted::Tool { tool, .. } = &self.wanted { Some(tool) } else { None }
    }

    /// In the form in which it is kept for later.
    pub(in crate::routes) fn order(&self, dialect: Dialect) -> ScanOrder {
        let Self { target, notify, wanted, profile: _ } = self;
        ScanOrder { target: target.clone(), notify: notify.clone(), dialect, wanted: wanted.to_json() }
    }

    /// Plans it.
    pub(super) async fn plan(self, app: &App, asker: &Asker, dialect: Dialect) -> Result<Planned, PlanRefused> {
        let Self { target, notify, wanted, profile } = self;
        let scan = app.planner.plan(asker, (&target, &notify), &wanted, dialect).await?;
        Ok(Planned { scan, profile })
    }
}

impl Planned {
    /// Stores it with its audit row, and in the same transaction the `answer` under the client's key.
    pub(super) async fn store(
        &self,
        app: &App,
        caller: &Caller,
        context: &RequestContext,
        now: Timestamp,
        answer: impl FnOnce(Created) -> HttpResponse,
    ) -> Result<HttpResponse, Problem> {
        let Self { scan, profile } = self;
        let mut about = match scan.tool {
            Some(tool) => json!({"target": scan.target, "tool": tool}),
            None => json!({"target": scan.target, "plan": scan.plan}),
        };
        if let (Some(used), Some(fields)) = (profile, about.as_object_mut()) {
            fields.insert("profile".to_owned(), json!(used.profile));
        }
        let entry = context
            .entry(now, &caller.label(), AuditAction::ScanCreated, Some(scan.id.to_string()))
            .change(None, Some(about));
        app.db
            .run("create_scan", caller.organization_id, async |tx| {
                picket_faults::point("gateway::before_create");
                let created = scans::create_recorded(tx, scan, &entry, now).await?;
                if let Some(used) = profile {
                    profiles::note(tx, scan.id, used).await?;
                }
                let response = idempotency::keep(app, tx, answer(created)).await;
                picket_faults::point("gateway::before_create_commit");
                response
            })
            .await
    }
}
