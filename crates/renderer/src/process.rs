//! The parent's side of typesetting: starts the child with nothing but the model, watches the clock, bounds what comes back.

use std::process::Stdio;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    PdfSettings, RenderError, ReportModel,
    child::{Header, Note},
};

/// How much of the child's words is kept.
const MAX_MESSAGE_BYTES: u64 = 16 * 1_024;

/// A PDF and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pdf {
    /// The file.
    pub content: Vec<u8>,
    /// How many pages it has.
    pub pages: usize,
    /// Whether it conforms to PDF/UA-1; text in a script without a font does not.
    pub accessible: bool,
    /// What the report's record should say, fit for the client.
    pub warnings: Vec<String>,
}

/// The report as PDF, typeset in a child process.
///
/// # Errors
/// `Process` when the child cannot be started, `TimedOut`, `TooLarge`, `Child` when it ended without a PDF.
#[tracing::instrument(name = "report.pdf.render", skip_all, fields(report.id = %model.id), err(level = "debug"))]
pub async fn render_pdf(model: &ReportModel, settings: &PdfSettings) -> Result<Pdf, RenderError> {
    let mut limited = model.clone();
    limited.limit_findings(settings.max_findings);
    let input = input(&limited, settings)?;
    let empty = tempfile::tempdir().map_err(RenderError::Process)?;
    let child = spawn(settings, empty.path()).map_err(RenderError::Process)?;
    // When the time is up the child is dropped, which kills it.
    match timeout(settings.wall_limit, talk(child, input, settings.size_limit_bytes)).await {
        Ok(done) => done,
        Err(_) => Err(RenderError::TimedOut(settings.wall_limit)),
    }
}

fn input(model: &ReportModel, settings: &PdfSettings) -> Result<Vec<u8>, RenderError> {
    let header = Header {
        memory_limit_bytes: settings.memory_limit_bytes,
        // Twice the clock: typesetting has threads, and the clock should strike first.
        cpu_limit_seconds: settings.wall_limit.as_secs().saturating_mul(2).max(1),
        // The child's working directory is another one.
        fonts_dir: settings.fonts_dir.as_ref().map(std::path::absolute).transpose().map_err(RenderError::Process)?,
    };
    let mut input = serde_json::to_vec(&header)?;
    input.push(b'\n');
    serde_json::to_writer(&mut input, model)?;
    Ok(input)
}

fn spawn(settings: &PdfSettings, empty: &std::path::Path) -> std::io::Result<Child> {
    Command::new(&settings.command.program)
        .args(&settings.command.args)
        .env_clear()
        // Each thread of the typesetter costs address space; one report is one core's work.
        .env("RAYON_NUM_THREADS", "1")
        .current_dir(empty)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

async fn talk(mut child: Child, input: Vec<u8>, limit_bytes: u64) -> Result<Pdf, RenderError> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ((), content, message) = tokio::try_join!(
        feed(stdin, &input),
        read(stdout, limit_bytes.saturating_add(1)),
        read(stderr, MAX_MESSAGE_BYTES),
    )
    .map_err(RenderError::Process)?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit_bytes {
        return Err(RenderError::TooLarge { limit_bytes });
    }
    let status = child.wait().await.map_err(RenderError::Process)?;
    let message = String::from_utf8_lossy(&message).into_owned();
    if !status.success() || !content.starts_with(b"%PDF-") {
        return Err(RenderError::Child { status: status.to_string(), message });
    }
    let note: Note = serde_json::from_str(message.lines().last().unwrap_or_default())?;
    Ok(Pdf { content, pages: note.pages, accessible: note.accessible, warnings: note.warnings })
}

/// A child that ends early closes its input: why is told by its status.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> std::io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(input).await {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Keeps `limit` bytes; a child that writes more is not read on, and ends when its pipe is closed.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut content = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit).read_to_end(&mut content).await?;
    }
    Ok(content)
}
