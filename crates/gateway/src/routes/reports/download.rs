//! A report's document on its way to a client: as an attachment, in a sandbox should a browser open it all the same, and
//! streamed from the object store. Its entity tag is its SHA-256, so a part never joins another version's.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    body::SizedStream,
    http::header::{self, HeaderMap, HeaderName},
};
use futures_util::StreamExt;
use picket_blobs::{BlobError, BlobKey};
use picket_domain::{Document, InvalidTransition, ReportState};
use picket_store::reports::read::ReportRecord;

use super::range::{Wanted, names_etag};
use crate::{App, Problem};

/// Seconds after which a report that is being rendered may be done.
const RETRY_AFTER: u64 = 2;

/// Answers a download.
pub(super) async fn download(app: &App, record: &ReportRecord, headers: &HeaderMap) -> Result<HttpResponse, Problem> {
    let (attempt, document) = match &record.report.state {
        ReportState::Done { attempt, document, .. } => (*attempt, document),
        ReportState::Queued | ReportState::Running { .. } => {
            return Err(Problem::NotReady { what: "report", retry_after: RETRY_AFTER });
        }
        ReportState::Failed { .. } => {
            return Err(InvalidTransition { action: "download", entity: "report", from: "failed" }.into());
        }
    };
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let etag = format!("\"{}\"", document.sha256);
    if names_etag(header(header::IF_NONE_MATCH), &etag) {
        return Ok(head(HttpResponse::NotModified(), record, &etag).finish());
    }
    let report = &record.report;
    let key = BlobKey::report(report.organization_id, report.id, attempt, record.request.format);
    match Wanted::of(header(header::RANGE), header(header::IF_RANGE), &etag, document.size_bytes) {
        Wanted::Whole => send(app, &key, None, document, head(HttpResponse::Ok(), record, &etag)).await,
        Wanted::Part(range) => {
            let mut answer = head(HttpResponse::PartialContent(), record, &etag);
            let last = range.end.saturating_sub(1);
            let sent = format!("bytes {}-{last}/{}", range.start, document.size_bytes);
            answer.insert_header((header::CONTENT_RANGE, sent));
            send(app, &key, Some(range), document, answer).await
        }
        Wanted::Unsatisfiable => Err(Problem::RangeNotSatisfiable { size_bytes: document.size_bytes }),
    }
}

/// What every answer says of the document.
fn head(mut answer: HttpResponseBuilder, record: &ReportRecord, etag: &str) -> HttpResponseBuilder {
    let format = record.request.format;
    let name = format!("attachment; filename=\"picket-{}.{}\"", record.report.id, format.extension());
    answer
        .insert_header((header::CONTENT_TYPE, format.media_type()))
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::ETAG, etag.to_owned()))
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:",
        ))
        // Ranges are of the document as it is, so nothing may compress it on the way.
        .insert_header((header::CONTENT_ENCODING, "identity"));
    answer
}

async fn send(
    app: &App,
    key: &BlobKey,
    range: Option<std::ops::Range<u64>>,
    document: &Document,
    mut answer: HttpResponseBuilder,
) -> Result<HttpResponse, Problem> {
    let size_bytes = range.as_ref().map_or(document.size_bytes, |range| range.end.saturating_sub(range.start));
    let stream = app.blobs.stream(key, range).await.map_err(|error| {
        let is_outage = matches!(error, BlobError::Store(_));
        if is_outage { Problem::Unavailable(Box::new(error)) } else { Problem::internal(error) }
    })?;
    Ok(answer.body(SizedStream::new(size_bytes, stream.bytes.map(|part| part.map_err(Box::new)))))
}
