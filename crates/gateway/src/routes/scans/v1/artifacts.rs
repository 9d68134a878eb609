//! The raw outputs of a scan's tools. They hold what scanned hosts have sent, so they leave as compressed attachments and are
//! never shown by a browser; whoever may read scans gets links to them, which are good for a quarter of an hour.

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    get,
    http::header::{self, HeaderName},
    web::{Data, Json},
};
use futures_util::StreamExt;
use jiff::Timestamp;
use picket_blobs::{BlobError, BlobKey};
use picket_domain::{ArtifactId, OrganizationId, Permission, ScanId, TaskId};
use picket_store::{
    artifacts::{self, Artifact, Found},
    scans::overview::ScanKey,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;

use super::follow::{Keyset, behind, cut};
use crate::{
    App, Caller, Id, Problem, Query,
    routes::{
        reports::range::{Wanted, names_etag},
        scans::find,
    },
    signed_links::Grant,
};

pub(super) fn configure(config: &mut ServiceConfig<'_>) {
    config.service(list_scan_artifacts).service(download_artifact);
}

/// A page of a scan's raw outputs.
#[derive(Debug, Serialize, ToSchema)]
struct ArtifactsV1 {
    /// In the order in which they were made.
    data: Vec<ArtifactV1>,
    /// `cursor` of the next page; null on the last.
    next_cursor: Option<String>,
}

/// What one run of a tool printed.
#[derive(Debug, Serialize, ToSchema)]
struct ArtifactV1 {
    #[schema(value_type = String)]
    id: ArtifactId,
    #[schema(value_type = String)]
    task: TaskId,
    /// Which run of the task.
    attempt: i32,
    #[schema(example = "nmap")]
    tool: String,
    /// `output`; `import` of a report that was imported.
    #[schema(example = "output")]
    kind: &'static str,
    /// Bytes of what the tool printed.
    size_bytes: i64,
    /// SHA-256 of those.
    sha256: String,
    /// Whether the tool printed more than is kept.
    truncated: bool,
    /// Bytes of the file that `url` leads to; null when it could not be stored.
    stored_bytes: Option<i64>,
    created_at: Timestamp,
    /// Where to download it (gzip), without further credentials; null when it could not be stored.
    url: Option<String>,
    /// Until when; the list gives new ones.
    url_expires_at: Option<Timestamp>,
}

/// The permission in a link.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SignedQuery {
    /// The organization.
    #[param(value_type = String)]
    organization: OrganizationId,
    /// The end of the link, in Unix seconds.
    expires: i64,
    /// The signature.
    signature: String,
}

/// List the raw outputs of a scan's tools.
///
/// Each with a link to its file, good for 15 minutes. They are kept for as long as the plan says (`raw_output_days`), and no
/// longer than the scan.
#[utoipa::path(
    tag = "scans",
    params(("id" = String, Path, description = "The scan."), Keyset),
    responses((status = 200, description = "A page of its raw outputs.", body = ArtifactsV1)),
)]
#[get("/scan/{id}/artifacts")]
async fn list_scan_artifacts(
    app: Data<App>,
    caller: Caller,
    id: Id<ScanId>,
    Query(page): Query<Keyset>,
) -> Result<Json<ArtifactsV1>, Problem> {
    caller.may(Permission::ScansRead)?;
    let ((limit, most), cursor) = (page.rows()?, behind::<ArtifactId>(page.cursor.as_deref())?);
    let rows = app
        .db
        .read("list_scan_artifacts", caller.organization_id, async |tx| {
            find(tx, ScanKey::Id(id.0)).await?;
            Ok::<_, Problem>(artifacts::list(tx, id.0, cursor, limit).await?)
        })
        .await?;
    let (rows, next_cursor) = cut(rows, most, |artifact| artifact.id.to_string());
    let now = app.clock.now();
    let data = rows.into_iter().map(|artifact| view(&app, artifact, now)).collect::<Result<_, _>>()?;
    Ok(Json(ArtifactsV1 { data, next_cursor }))
}

fn view(app: &App, artifact: Artifact, now: Timestamp) -> Result<ArtifactV1, Problem> {
    let link = match artifact.stored_bytes {
        Some(_) => Some(link(app, &artifact, now)?),
        None => None,
    };
    let (url, url_expires_at) = link.unzip();
    Ok(ArtifactV1 {
        id: artifact.id,
        task: artifact.task_id,
        attempt: artifact.attempt,
        tool: artifact.tool,
        kind: artifact.kind.name(),
        size_bytes: artifact.size_bytes,
        sha256: artifact.sha256,
        truncated: artifact.is_cut,
        stored_bytes: artifact.stored_bytes,
        created_at: artifact.created_at,
        url,
        url_expires_at,
    })
}

fn link(app: &App, artifact: &Artifact, now: Timestamp) -> Result<(String, Timestamp), Problem> {
    let grant = Grant::new(artifact.organization_id, artifact.id, now);
    let signature = grant.sign(&app.sealer)?;
    let Grant { organization, artifact, expires } = grant;
    let path = format!(
        "/api/v1/artifacts/{artifact}/download?organization={organization}&expires={expires}&signature={signature}"
    );
    Ok((app.links.to(&path), Timestamp::from_second(expires).map_err(Problem::internal)?))
}

/// Download a raw output by its link.
///
/// The file is compressed (gzip). A link that is wrong or has ended is 404, like a file that is gone. `Range`, `If-Range` and
/// `If-None-Match` are understood.
#[utoipa::path(
    tag = "scans",
    security(()),
    params(("id" = String, Path, description = "The raw output."), SignedQuery),
    responses(
        (status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part of the file that was asked for."),
        (status = 304, description = "You have it already."),
        (status = 404, description = "No such file, or the link has ended.", body = crate::ProblemView, content_type = "application/problem+json"),
        (status = 416, description = "The range lies outside the file.", body = crate::ProblemView, content_type = "application/problem+json")
    ),
)]
#[get("/artifacts/{id}/download")]
async fn download_artifact(
    app: Data<App>,
    request: HttpRequest,
    id: Id<ArtifactId>,
    Query(query): Query<SignedQuery>,
) -> Result<HttpResponse, Problem> {
    let grant = Grant { organization: query.organization, artifact: id.0, expires: query.expires };
    if !grant.is_good(&query.signature, &app.sealer, app.clock.now())? {
        return Err(gone());
    }
    let Found { artifact, content } = app
        .db
        .read("find_artifact", grant.organization, async |tx| Ok::<_, Problem>(artifacts::find(tx, id.0).await?))
        .await?
        .ok_or_else(gone)?;
    let size_bytes = artifact.stored_bytes.and_then(|size| u64::try_from(size).ok()).ok_or_else(gone)?;
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    // What is under a name never changes.
    let etag = format!("\"{}\"", artifact.id);
    if names_etag(header(header::IF_NONE_MATCH), &etag) {
        return Ok(head(HttpResponse::NotModified(), &artifact, &etag).finish());
    }
    let file = (&artifact, content);
    match Wanted::of(header(header::RANGE), header(header::IF_RANGE), &etag, size_bytes) {
        Wanted::Whole => send(&app, file, 0..size_bytes, head(HttpResponse::Ok(), &artifact, &etag)).await,
        Wanted::Part(range) => {
            let mut answer = head(HttpResponse::PartialContent(), &artifact, &etag);
            let sent = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
            answer.insert_header((header::CONTENT_RANGE, sent));
            send(&app, file, range, answer).await
        }
        Wanted::Unsatisfiable => Err(Problem::RangeNotSatisfiable { size_bytes }),
    }
}

const fn gone() -> Problem {
    Problem::NotFound("artifact, or its link has ended: the list of the scan's artifacts gives new ones")
}

/// What every answer says of the file. The name is made of ids.
fn head(mut answer: HttpResponseBuilder, artifact: &Artifact, etag: &str) -> HttpResponseBuilder {
    let name = format!("attachment; filename=\"{}.{}.gz\"", artifact.task_id, artifact.attempt);
    answer
        .content_type("application/octet-stream")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::ETAG, etag.to_owned()))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'"))
        // Ranges are of the file as it is, so nothing may compress it once more, or call it the encoding of something else.
        .insert_header((header::CONTENT_ENCODING, "identity"));
    answer
}

/// The bytes of a range that lies within the content.
fn part<'a>(content: &'a [u8], range: &std::ops::Range<u64>) -> &'a [u8] {
    let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    content.get(place(range.start)..place(range.end)).unwrap_or_default()
}

async fn send(
    app: &App,
    (artifact, content): (&Artifact, Option<Vec<u8>>),
    range: std::ops::Range<u64>,
    mut answer: HttpResponseBuilder,
) -> Result<HttpResponse, Problem> {
    let size_bytes = range.end.saturating_sub(range.start);
    if let Some(content) = content {
        return Ok(answer.body(part(&content, &range).to_vec()));
    }
    let key = BlobKey::artifact(artifact.organization_id, artifact.id);
    let stream = app.blobs.stream(&key, Some(range)).await.map_err(|error| match error {
        BlobError::Store(_) => Problem::Unavailable(Box::new(error)),
        // It was taken away since its row was read.
        BlobError::NotFound { .. } => gone(),
        BlobError::Range { .. } | BlobError::TooLarge { .. } | BlobError::Folder { .. } | BlobError::Source(_) => {
            Problem::internal(error)
        }
    })?;
    Ok(answer.body(SizedStream::new(size_bytes, stream.bytes.map(|part| part.map_err(Box::new)))))
}
