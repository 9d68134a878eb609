//! A web site on loopback whose documents a test changes as it goes; what it does not have is 404. Plain HTTP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Paths and whole answers.
type Answers = Arc<Mutex<BTreeMap<String, String>>>;

/// The site; it ends with the test's runtime.
#[derive(Clone)]
pub struct Site {
    /// The port on 127.0.0.1.
    pub port: u16,
    answers: Answers,
}

impl Site {
    /// Starts a site without documents.
    ///
    /// # Panics
    /// When there is no socket.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let site = Self { port: listener.local_addr().expect("an address").port(), answers: Arc::default() };
        let answers = site.answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers.clone()));
            }
        });
        site
    }

    /// Puts a document at a path.
    pub fn set(&self, path: &str, body: &str) {
        self.answer(path, "200 OK", &format!("content-length: {}\r\n\r\n{body}", body.len()));
    }

    /// Sends whoever asks for a path elsewhere.
    pub fn redirect(&self, path: &str, to: &str) {
        self.answer(path, "302 Found", &format!("location: {to}\r\ncontent-length: 0\r\n\r\n"));
    }

    fn answer(&self, path: &str, status: &str, rest: &str) {
        let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{rest}");
        self.answers.lock().expect("a table").insert(path.to_owned(), answer);
    }
}

async fn serve(mut stream: TcpStream, answers: Answers) {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let Ok(Some(request)) = lines.next_line().await else { return };
    while lines.next_line().await.is_ok_and(|line| line.is_some_and(|line| !line.is_empty())) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let answer = answers.lock().expect("a table").get(path).cloned();
    let missing = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    // Whoever asked may be gone.
    let _sent = writer.write_all(answer.as_deref().unwrap_or(missing).as_bytes()).await;
}
