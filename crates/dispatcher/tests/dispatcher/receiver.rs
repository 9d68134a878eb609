//! A receiver on the loopback interface that answers as it is told and counts.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    answer: Arc<Mutex<Option<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Answers every request with this status line and these headers.
    pub(crate) async fn answering(answer: &str) -> Self {
        Self::start(Some(answer.to_owned())).await
    }

    /// Reads requests and never answers.
    pub(crate) async fn hanging() -> Self {
        Self::start(None).await
    }

    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            answer: Arc::new(Mutex::new(answer)),
            requests: Arc::default(),
        };
        let receiving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receiving.clone().serve(stream));
            }
        });
        receiver
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut chunk = [0; 4_096];
        while !is_complete(&request) {
            match stream.read(&mut chunk).await {
                Ok(read) if read > 0 => request.extend(&chunk[..read]),
                _ => return,
            }
        }
        self.requests.lock().unwrap().push(String::from_utf8(request).unwrap());
        let answer = self.answer.lock().unwrap().clone();
        match answer {
            Some(answer) => {
                let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
            }
            None => std::future::pending().await,
        }
    }

    pub(crate) fn change(&self, answer: &str) {
        *self.answer.lock().unwrap() = Some(answer.to_owned());
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    body.len() >= length
}
