//! Conversations line by line, as FTP, SMTP and SSH begin them. A line that is too long ends the conversation.

use std::io;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// The longest line that is read, in bytes with its end.
const LONGEST_LINE: u64 = 512;
/// Lines that are answered before the conversation ends.
const MOST_LINES: u32 = 200;

/// A connection that speaks in lines.
pub(super) struct Conversation {
    stream: BufReader<TcpStream>,
    lines: u32,
}

impl Conversation {
    /// Nothing was said yet.
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream), lines: 0 }
    }

    /// Says a line, or several that end with CR LF each; the last end is added.
    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }

    /// The next line without its end; `None` when there is none, or it or the conversation is too long.
    pub(super) async fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        self.lines = self.lines.saturating_add(1);
        let is_whole = line.last() == Some(&b'\n') && self.lines <= MOST_LINES;
        Ok(is_whole.then(|| String::from_utf8_lossy(&line).trim_end().to_owned()))
    }
}

/// A command and its argument; commands are written in any case.
pub(super) fn command(line: &str) -> (String, &str) {
    let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
    (verb.to_ascii_uppercase(), argument.trim())
}
