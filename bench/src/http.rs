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

    /// Posts JSON and demands a status; the answer is read to its end.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes, expected: StatusCode) -> Result<Bytes, Failure> {
        let mut request = Request::post(path)
            .header(header::HOST, self.host.as_str())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(credential) = &self.credential {
            request = request.header(header::AUTHORIZATION, format!("Bearer {credential}"));
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(body))?).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        if status == expected {
            Ok(bytes)
        } else {
            Err(format!("expected {expected} from {path}, got {status}: {}", String::from_utf8_lossy(&bytes)).into())
        }
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
