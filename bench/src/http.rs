//! A client of the API that keeps its connection and does nothing else: it runs on the cores that are being measured.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::Failure;

/// A connection to the API.
pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    host: String,
    credential: Option<String>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, credential: Option<String>) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: address.to_string(), credential })
    }

    /// Gets with another credential than the connection's own.
    pub(crate) async fn get(&mut self, path: &str, key: Option<&str>, expected: StatusCode) -> Result<Bytes, Failure> {
        let mut request = Request::get(path).header(header::HOST, self.host.as_str());
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let (status, bytes) = self.send(request.body(Full::default())?).await?;
        demand(path, status, expected, bytes)
    }

    /// Posts JSON on behalf of the client at an address, as a proxy does; the status, whatever it is.
    pub(crate) async fn post_from(&mut self, path: &str, body: Bytes, client: &str) -> Result<StatusCode, Failure> {
        let request = Request::post(path)
            .header(header::HOST, self.host.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-forwarded-for", client);
        Ok(self.send(request.body(Full::new(body))?).await?.0)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Posts JSON and demands a status; the answer is read to its end.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes, expected: StatusCode) -> Result<Bytes, Failure> {
        let mut request = Request::post(path)
            .header(header::HOST, self.host.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(credential) = &self.credential {
            request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        }
        let (status, bytes) = self.send(request.body(Full::new(body))?).await?;
        demand(path, status, expected, bytes)
    }

    /// The same, with a field of the answer.
    pub(crate) async fn post_for(
        &mut self,
        path: &str,
        body: &Value,
        expected: StatusCode,
        field: &str,
    ) -> Result<String, Failure> {
        let answer = self.post(path, body.to_string().into(), expected).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let text = answer.get(field).and_then(Value::as_str);
        Ok(text.ok_or_else(|| format!("expected `{field}` from {path}"))?.to_owned())
    }
}

/// The answer, when it is the expected one.
fn demand(path: &str, status: StatusCode, expected: StatusCode, bytes: Bytes) -> Result<Bytes, Failure> {
    if status == expected {
        Ok(bytes)
    } else {
        Err(format!("expected {expected} from {path}, got {status}: {}", String::from_utf8_lossy(&bytes)).into())
    }
}
