//! Calls to the API. Polite: it waits as long as a 429 asks it to. Bounded: no answer is read beyond its limit. What the
//! API says is shown without what could disturb a terminal, and credentials are never shown.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, Url, header::RETRY_AFTER, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    answers::ProblemBody,
    console::{Console, plain},
    failure::Failure,
};

/// The longest answer in JSON.
const LONGEST_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// The longest report.
const LONGEST_REPORT_BYTES: usize = 64 * 1024 * 1024;
const CONNECT_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long is waited when the API does not say, and at most, before it is asked again.
const DEFAULT_PAUSE_SECONDS: u64 = 2;
const LONGEST_PAUSE_SECONDS: u64 = 60;

/// The API as one caller sees it.
#[derive(Clone)]
pub(super) struct Api<'c> {
    client: Client,
    base: Url,
    credential: Option<SecretString>,
    console: &'c Console,
}

impl<'c> Api<'c> {
    /// The API at an address, without credentials. Redirects are not followed and no proxy is used: credentials go to
    /// this address alone.
    ///
    /// # Errors
    /// When the address is none.
    pub(super) fn new(address: &str, console: &'c Console) -> Result<Self, Failure> {
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base = base.ok_or_else(|| Failure::Address(plain(address)))?;
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            .build()
            .map_err(|source| Failure::NoAnswer { call: "the HTTP client".to_owned(), source })?;
        Ok(Self { client, base, credential: None, console })
    }

    /// The same with an access token or an API key.
    pub(super) fn with(&self, credential: SecretString) -> Self {
        Self { credential: Some(credential), ..self.clone() }
    }

    /// Reads a resource; `path` begins behind `/api/v1`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let call = Call { method: Method::GET, path, body: None, limit_bytes: LONGEST_ANSWER_BYTES };
        shaped(&call, &self.call(&call).await?)
    }

    /// Makes something.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let call = Call { method: Method::POST, path, body: Some(body), limit_bytes: LONGEST_ANSWER_BYTES };
        shaped(&call, &self.call(&call).await?)
    }

    /// Fetches a document as it is.
    pub(super) async fn download(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.call(&Call { method: Method::GET, path, body: None, limit_bytes: LONGEST_REPORT_BYTES }).await
    }

    /// Calls until there is an answer other than "later"; the demo's deadline bounds how often.
    async fn call(&self, call: &Call<'_>) -> Result<Vec<u8>, Failure> {
        loop {
            let no_answer = |source| Failure::NoAnswer { call: call.name(), source };
            let response = self.request(call)?.send().await.map_err(no_answer)?;
            match call.pause(&response) {
                Some(pause) => {
                    self.console.note(&format!("{}: asked to come back in {} s", call.name(), pause.as_secs()));
                    sleep(pause).await;
                }
                None => return call.read(response).await,
            }
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<reqwest::RequestBuilder, Failure> {
        let url = self.base.join(&format!("/api/v1{}", call.path));
        let url = url.map_err(|_| Failure::Address(plain(call.path)))?;
        let mut request = self.client.request(call.method.clone(), url);
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential.expose_secret());
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        Ok(request)
    }
}

/// One thing to ask.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    limit_bytes: usize,
}

impl Call<'_> {
    fn name(&self) -> String {
        format!("{} /api/v1{}", self.method, self.path)
    }

    /// How long to wait before the same is asked again. A 503 tells nothing of what became of a POST, a 429 does: nothing.
    fn pause(&self, response: &Response) -> Option<Duration> {
        let is_asked = match response.status() {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => self.method == Method::GET,
            _ => false,
        };
        let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let seconds: u64 = asked.unwrap_or(DEFAULT_PAUSE_SECONDS);
        is_asked.then(|| Duration::from_secs(seconds.clamp(1, LONGEST_PAUSE_SECONDS)))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|source| Failure::NoAnswer { call: self.name(), source })?
        {
            if body.len().saturating_add(chunk.len()) > self.limit_bytes {
                return Err(Failure::TooLong { call: self.name(), limit_bytes: self.limit_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(Failure::Refused { call: self.name(), status: status.as_u16(), problem: problem(&body) })
    }
}

fn shaped<T: DeserializeOwned>(call: &Call<'_>, body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|source| Failure::Shape { call: call.name(), source })
}

/// An error in one line.
fn problem(body: &[u8]) -> String {
    let Ok(ProblemBody { code, detail, errors }) = serde_json::from_slice(body) else {
        return plain(&String::from_utf8_lossy(body));
    };
    let fields = errors.iter().map(|error| format!("; {}: {}", error.field, error.message));
    plain(&format!("{code}, {detail}{}", fields.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_one_line() {
        let body = br#"{"type":"about:blank","code":"invalid","detail":"no","errors":[{"field":"target","code":"x","message":"bad"}]}"#;
        assert_eq!(problem(body), "invalid, no; target: bad");
        assert_eq!(problem(b"<h1>\x1b[2J"), "<h1>[2J");
    }

    #[test]
    fn later_is_waited_for_within_reason() {
        let pause = |method: Method, status: u16, after: &str| {
            let call = Call { method, path: "/x", body: None, limit_bytes: 1 };
            let response = hyper::Response::builder().status(status).header("retry-after", after).body("").unwrap();
            call.pause(&Response::from(response)).map(|pause| pause.as_secs())
        };
        assert_eq!(pause(Method::POST, 429, "7"), Some(7));
        assert_eq!(pause(Method::GET, 503, "999999"), Some(LONGEST_PAUSE_SECONDS));
        assert_eq!(pause(Method::GET, 503, "0"), Some(1));
        assert_eq!(pause(Method::GET, 429, "soon"), Some(DEFAULT_PAUSE_SECONDS));
        assert_eq!(pause(Method::POST, 503, "7"), None);
        assert_eq!(pause(Method::GET, 200, "7"), None);
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        let console = Console::over(std::io::sink(), std::io::sink());
        for address in ["", "127.0.0.1:8080", "file:///etc", "ftp://127.0.0.1"] {
            assert!(matches!(Api::new(address, &console), Err(Failure::Address(_))), "{address}");
        }
    }
}
