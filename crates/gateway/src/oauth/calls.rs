//! Calls to providers: through the outbound guard, without redirects, and with answers of at most 64 KiB.

use bytes::Bytes;
use oauth2::{HttpRequest, HttpResponse, http};
use picket_outbound::{HttpClient, Limits, Method, OutboundError, Request, Response};
use serde::de::DeserializeOwned;
use url::Url;

use super::ProviderError;

/// The longest answer that is read.
const ANSWER: Limits = Limits::whole(64 * 1_024);
/// What `oauth2` sets, and nothing else, is sent.
const HEADERS: [&str; 3] = ["accept", "authorization", "content-type"];

/// Sends what `oauth2` wants to be sent.
pub(super) async fn exchange(http: &HttpClient, request: HttpRequest) -> Result<HttpResponse, OutboundError> {
    let url = Url::parse(&request.uri().to_string()).map_err(|_| OutboundError::RefusedUrl("the token url is none"))?;
    let header = |name: &'static str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.map(|value| (name, value.to_owned()))
    };
    let headers = HEADERS.into_iter().filter_map(header).collect();
    let body = Bytes::from(request.into_body());
    let answer = whole(http.send(Request { method: Method::POST, url: &url, headers, body, limits: ANSWER }).await?)?;
    let mut response = http::Response::new(answer.body.to_vec());
    *response.status_mut() = status(&answer);
    if let Some(kind) = answer.headers.get("content-type") {
        response.headers_mut().insert("content-type", kind.clone());
    }
    Ok(response)
}

/// The status of an answer. GitHub says of a code that is no longer good that all is well, and the error in the body.
fn status(answer: &Response) -> http::StatusCode {
    #[derive(serde::Deserialize)]
    struct Failure {
        #[serde(rename = "error")]
        _error: String,
    }
    let is_failure = answer.status == 200 && serde_json::from_slice::<Failure>(&answer.body).is_ok();
    let status = if is_failure { 400 } else { answer.status };
    http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY)
}

/// A document of the provider, for whoever has the token.
pub(super) async fn read<T: DeserializeOwned>(
    http: &HttpClient,
    url: &Url,
    token: Option<&str>,
) -> Result<T, ProviderError> {
    let mut headers = vec![("accept", "application/json".to_owned())];
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    let request = Request { method: Method::GET, url, headers, body: Bytes::new(), limits: ANSWER };
    let answer = whole(http.send(request).await?)?;
    if answer.status != 200 {
        return Err(ProviderError::Answer("the status 200"));
    }
    // Without its cause, which may quote the document.
    serde_json::from_slice(&answer.body).map_err(|_| ProviderError::Answer("json with the fields of the standard"))
}

/// An answer that is longer than we read is none.
fn whole(answer: Response) -> Result<Response, OutboundError> {
    if answer.truncated { Err(OutboundError::TooLarge) } else { Ok(answer) }
}
