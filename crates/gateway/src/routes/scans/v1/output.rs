//! The live output of a scan: what workers tell while tools run, and how far they are, as a stream. What a tool complained
//! is never shown here, and what it printed only as the observations that were made of it.

use actix_web::{HttpRequest, HttpResponse, get, web::Data};
use jiff::Timestamp;
use picket_domain::{OrganizationId, OutputLine, Permission, ScanId, TaskId};
use picket_store::{
    output::{self, Progress, StoredLine},
    scans::overview::ScanKey,
};
use serde::Serialize;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    App, Caller, Id, Problem, RequestContext,
    routes::scans::find,
    streams::{self, Feed, Read, frame, invalid_event_id, last_event_id},
};

/// Rows that one part of a stream has at most.
pub(super) const ROWS: i64 = 64;
/// The states that a scan does not leave.
const FINAL: [&str; 3] = ["completed", "failed", "cancelled"];

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(stream_scan_output);
}

/// Follow a scan while it runs.
///
/// A stream of events: `line` for each line, with its number as id (`kind` is `started`, `observation`, `left_out`, `ended`
/// or `cut`), `progress` whenever it changes, and `end` when the scan has ended and everything was sent. With
/// `Last-Event-ID` it goes on behind that line, without a hole and without a line twice. 10,000 lines of a scan are kept. A
/// stream ends with the rights of whoever asked for it; 429 when your organization has as many as its plan allows.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan.")),
    responses(
        (status = 200, description = "The stream.", body = String, content_type = "text/event-stream"),
        (status = 503, description = "The gateway has as many streams as it may.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[get("/scan/{id}/output")]
async fn stream_scan_output(
    app: Data<App>,
    caller: Caller,
    context: RequestContext,
    request: HttpRequest,
    id: Id<ScanId>,
) -> Result<HttpResponse, Problem> {
    caller.may(Permission::ScansRead)?;
    let number = last_event_id(request.headers())?.map_or(Ok(0), number)?;
    app.db.read("find_scan_to_follow", caller.organization_id, async |tx| find(tx, ScanKey::Id(id.0)).await).await?;
    let feed = Lines { organization: caller.organization_id, scan: id.0, number, told: None };
    streams::answer(&app, &caller, context, &request, (id.0, feed))
}

/// Digits alone.
fn number(text: &str) -> Result<i64, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or_else(invalid_event_id)
}

/// The lines of a scan, as a stream.
struct Lines {
    organization: OrganizationId,
    scan: ScanId,
    /// Of the last line that was read.
    number: i64,
    /// What was said last of how far it is.
    told: Option<Progress>,
}

/// A line.
#[derive(Serialize)]
struct LineV1<'a> {
    number: i64,
    at: Timestamp,
    task: TaskId,
    attempt: i32,
    #[serde(flatten)]
    line: &'a OutputLine,
}

/// How far a scan is.
#[derive(Serialize)]
struct ProgressV1<'a> {
    status: &'a str,
    tasks: i64,
    tasks_ended: i64,
    tasks_running: i64,
    /// Of the work that is known; 100 only when the scan has ended.
    percent: i32,
}

#[derive(Serialize)]
struct EndV1<'a> {
    status: &'a str,
}

impl Feed for Lines {
    async fn read(&mut self, app: &App) -> Result<Read, Problem> {
        let (scan, number) = (self.scan, self.number);
        let (progress, lines) = app
            .db
            .read("stream_scan_output", self.organization, async |tx| {
                // In this order: when it had ended by itself, its last line is among the lines.
                let progress = output::progress(tx, scan).await?;
                Ok::<_, Problem>((progress, output::list(tx, scan, number, ROWS).await?))
            })
            .await?;
        let is_more = i64::try_from(lines.len()).is_ok_and(|count| count >= ROWS);
        let mut text = String::new();
        for StoredLine { number, task_id, attempt, at, line } in &lines {
            let view = LineV1 { number: *number, at: *at, task: *task_id, attempt: *attempt, line };
            frame(&mut text, Some(number), "line", &view)?;
            self.number = *number;
        }
        if !is_more && progress != self.told {
            if let Some(progress) = &progress {
                frame(&mut text, None, "progress", &ProgressV1::from(progress))?;
            }
            self.told.clone_from(&progress);
        }
        let is_over = over(&mut text, progress.as_ref().map(|progress| progress.state.as_str()), is_more)?;
        Ok(Read { text, is_more, is_over })
    }
}

/// Says that a stream is over, when it is: the scan had ended before the last rows were read, or is gone.
pub(super) fn over(text: &mut String, state: Option<&str>, is_more: bool) -> Result<bool, Problem> {
    let Some(state) = state else { return Ok(true) };
    let is_over = !is_more && FINAL.contains(&state);
    if is_over {
        frame(text, None, "end", &EndV1 { status: state })?;
    }
    Ok(is_over)
}

impl<'a> From<&'a Progress> for ProgressV1<'a> {
    fn from(progress: &'a Progress) -> Self {
        let Progress { state, total, ended, running, percent } = progress;
        let percent = if FINAL.contains(&state.as_str()) { 100 } else { *percent };
        Self { status: state, tasks: *total, tasks_ended: *ended, tasks_running: *running, percent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_before_the_scan_has_ended() {
        let percent = |state: &str, percent| {
            ProgressV1::from(&Progress { state: state.to_owned(), total: 3, ended: 3, running: 0, percent }).percent
        };
        assert_eq!(percent("running", 33), 33);
        assert_eq!(percent("completed", 99), 100);
        assert_eq!(percent("failed", 0), 100);
    }

    #[test]
    fn an_id_is_digits_alone() {
        assert!(number("17").is_ok_and(|number| number == 17));
        for text in ["+1", "-1", "1.0", "evt_1", "99999999999999999999"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
