//! The parent's side of a child process that reads what strangers made: started with nothing but its input, watched by the
//! clock, bounded in what it may answer. It must never give the child a descriptor, an environment or a folder of ours;
//! what the child denies itself is in [`crate::Confinement`].

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// How much of the child's words is kept.
const MAX_WORDS_BYTES: u64 = 16 * 1_024;

/// A program that reads its standard input and answers on its standard output. The default is none, and cannot be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ChildCommand {
    /// The executable, with its whole path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What a child may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildBounds {
    /// Time by the clock on the wall.
    pub wall: Duration,
    /// The longest answer.
    pub output_bytes: u64,
}

/// A child that has ended by itself.
#[derive(Debug)]
pub struct ChildEnd {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub output: Vec<u8>,
    /// What it wrote to its standard error, bounded; for the log, never for a client.
    pub words: String,
}

/// A child without an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started or talked to.
    #[error("expected a child process that can be started")]
    Process(#[source] io::Error),
    /// It took longer than allowed, and was killed.
    #[error("expected a child process that ends within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It answered more than allowed, and was killed.
    #[error("expected at most {limit_bytes} bytes of a child process")]
    TooLarge {
        /// The limit.
        limit_bytes: u64,
    },
}

/// Starts the program in an empty folder with `environment` alone, gives it `input`, and waits for its end. A caller that
/// goes away kills it.
///
/// # Errors
/// [`ChildError`]; how the program ended by itself is no error here.
pub async fn run_child(
    command: &ChildCommand,
    environment: &[(&str, &str)],
    input: &[u8],
    bounds: ChildBounds,
) -> Result<ChildEnd, ChildError> {
    let empty = tempfile::tempdir().map_err(ChildError::Process)?;
    let child = spawn(command, environment, empty.path()).map_err(ChildError::Process)?;
    // When the time is up the child is dropped, which kills it.
    timeout(bounds.wall, talk(child, input, bounds.output_bytes))
        .await
        .unwrap_or(Err(ChildError::TimedOut(bounds.wall)))
}

fn spawn(command: &ChildCommand, environment: &[(&str, &str)], empty: &Path) -> io::Result<Child> {
    Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(empty)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn talk(mut child: Child, input: &[u8], limit_bytes: u64) -> Result<ChildEnd, ChildError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ((), output, words) = tokio::try_join!(
        feed(stdin, input),
        read(stdout, limit_bytes.saturating_add(1)),
        read(stderr, MAX_WORDS_BYTES)
    )
    .map_err(ChildError::Process)?;
    if u64::try_from(output.len()).unwrap_or(u64::MAX) > limit_bytes {
        return Err(ChildError::TooLarge { limit_bytes });
    }
    let status = child.wait().await.map_err(ChildError::Process)?;
    Ok(ChildEnd { status, output, words: String::from_utf8_lossy(&words).into_owned() })
}

/// A child that ends early closes its input: why is told by its status.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Keeps `limit` bytes; a child that writes more is not read on, and ends when its pipe is closed.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut content).await?;
    }
    Ok(content)
}
