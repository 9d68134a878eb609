//! `/blackout-windows`: the hours in which an organization wants nothing scanned. Admission keeps to them; what runs when one
//! opens is let finish, or stopped until its end, as the window says.

use actix_web::{
    get, put,
    web::{Data, Json},
};
use picket_domain::{AuditAction, Permission, TargetPattern, WeeklyHours};
use picket_store::{
    audit, quota,
    windows::{self, BlackoutWindow},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{App, Body, Caller, FieldError, Problem, RequestContext};

/// Windows of one organization, and characters of a name or a tag.
const MOST: usize = 50;
const LONGEST_TEXT: usize = 50;

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_windows).service(replace_windows);
}

/// All windows of an organization.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Windows {
    /// In your order.
    #[schema(max_items = 50)]
    windows: Vec<Window>,
}

/// Hours of the week.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Window {
    /// What you call it.
    #[serde(default)]
    #[schema(max_length = 50, example = "office hours")]
    name: String,
    /// The days on which it begins: `mon` to `sun`.
    #[schema(min_items = 1, max_items = 7, example = json!(["mon", "tue"]))]
    days: Vec<String>,
    /// When it begins, `HH:MM`.
    #[schema(example = "22:00")]
    begins: String,
    /// When it ends, `HH:MM` to `24:00`; on the next day when that is before it begins.
    #[schema(example = "06:00")]
    ends: String,
    /// The time zone that these are meant in; `UTC` when absent.
    #[schema(max_length = 64, example = "Europe/Berlin")]
    time_zone: Option<String>,
    /// Targets that are kept with this tag alone.
    #[schema(max_length = 50)]
    tag: Option<String>,
    /// This target alone: a host name, an address, a network, or `*.` and a name for every name below it.
    #[schema(max_length = 255, example = "*.example.com")]
    target: Option<String>,
    /// What becomes of what runs when it opens; `finish` when absent.
    #[serde(default)]
    #[schema(inline)]
    running: Running,
}

/// What becomes of tasks that run when a window opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Running {
    /// They are let finish.
    #[default]
    Finish,
    /// Their tools are stopped within seconds, and they begin anew when the window has closed.
    Pause,
}

/// List the hours in which nothing is scanned.
#[utoipa::path(
    tag = "schedules",
    responses((status = 200, description = "All windows.", body = Windows))
)]
#[get("/blackout-windows")]
async fn list_windows(app: Data<App>, caller: Caller) -> Result<Json<Windows>, Problem> {
    caller.may(Permission::ScansRead)?;
    let found = app
        .db
        .read("list_windows", caller.organization_id, async |tx| Ok::<_, Problem>(windows::list(tx).await?))
        .await?;
    Ok(Json(Windows { windows: found.iter().map(Window::of).collect() }))
}

/// Replace the hours in which nothing is scanned.
///
/// While a window is open nothing that it covers begins: scans are accepted and wait. What runs already is let finish, or
/// stopped and begun anew at the window's end (`running`).
#[utoipa::path(
    tag = "schedules",
    request_body = Windows,
    responses((status = 200, description = "All windows.", body = Windows))
)]
#[put("/blackout-windows")]
async fn replace_windows(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    Body(body): Body<Windows>,
) -> Result<Json<Windows>, Problem> {
    caller.may(Permission::OrganizationWrite)?;
    let (new, now) = (body.check()?, app.clock.now());
    app.db
        .run("replace_windows", caller.organization_id, async |tx| {
            quota::lock(tx, caller.organization_id).await?;
            let known = windows::list(tx).await?;
            windows::replace(tx, caller.organization_id, &new, now).await?;
            let entry = context
                .entry(now, &caller.label(), AuditAction::BlackoutWindowsReplaced, None)
                .change(Some(shown(&known)), Some(shown(&new)));
            Ok::<_, Problem>(audit::record(tx, caller.organization_id, &entry).await?)
        })
        .await?;
    Ok(Json(Windows { windows: new.iter().map(Window::of).collect() }))
}

fn shown(windows: &[BlackoutWindow]) -> Value {
    let line = |one: &BlackoutWindow| {
        let target = one.pattern.as_ref().map(TargetPattern::text);
        let BlackoutWindow { name, days, begins, ends, time_zone, tag, pauses, .. } = one;
        json!({
            "name": name, "days": days, "begins": begins, "ends": ends, "time_zone": time_zone, "tag": tag,
            "target": target, "running": Running::of(*pauses),
        })
    };
    json!({"windows": windows.iter().map(line).collect::<Vec<_>>()})
}

impl Running {
    const fn of(pauses: bool) -> Self {
        if pauses { Self::Pause } else { Self::Finish }
    }
}

impl Windows {
    /// Names every fault.
    fn check(self) -> Result<Vec<BlackoutWindow>, Problem> {
        if self.windows.len() > MOST {
            return Err(Problem::field("windows", "too_many", format!("expected at most {MOST} windows")));
        }
        let (mut windows, mut errors) = (Vec::new(), Vec::new());
        for (place, window) in self.windows.into_iter().enumerate() {
            match window.check() {
                Ok(window) => windows.push(window),
                Err((field, message)) => {
                    errors.push(FieldError::new(format!("windows[{place}].{field}"), "invalid_value", message));
                }
            }
        }
        if errors.is_empty() { Ok(windows) } else { Err(Problem::Invalid(errors)) }
    }
}

impl Window {
    fn check(self) -> Result<BlackoutWindow, (&'static str, String)> {
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let hours = WeeklyHours::parse(&self.days, &self.begins, &self.ends, zone)
            .map_err(|error| (error.field(), error.to_string()))?;
        let texts = [("name", Some(&self.name)), ("tag", self.tag.as_ref())];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| text.map(|text| (field, text))) {
            let is_short = text.chars().count() <= LONGEST_TEXT && (field == "name" || !text.is_empty());
            if !is_short || text.chars().any(char::is_control) {
                return Err((field, "expected at most 50 characters without control characters".to_owned()));
            }
        }
        let pattern = self.target.as_deref().map(TargetPattern::parse).transpose();
        Ok(BlackoutWindow {
            name: self.name,
            days: self.days,
            begins: self.begins,
            ends: self.ends,
            time_zone: hours.zone().to_owned(),
            tag: self.tag,
            pattern: pattern.map_err(|error| ("target", error.to_string()))?,
            pauses: self.running == Running::Pause,
        })
    }

    fn of(window: &BlackoutWindow) -> Self {
        let BlackoutWindow { name, days, begins, ends, time_zone, tag, pattern, pauses } = window.clone();
        let target = pattern.map(|pattern| pattern.text().to_owned());
        Self { name, days, begins, ends, time_zone: Some(time_zone), tag, target, running: Running::of(pauses) }
    }
}
