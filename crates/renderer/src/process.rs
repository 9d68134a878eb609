//! The parent's side of typesetting: starts the child with nothing but the model, watches the clock, bounds what comes back.

use picket_kit::{ChildBounds, ChildEnd, ChildError, run_child};

use crate::{
    PdfSettings, RenderError, ReportModel,
    child::{Header, Note},
};

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
    let bounds = ChildBounds { wall: settings.wall_limit, output_bytes: settings.size_limit_bytes };
    // Each thread of the typesetter costs address space; one report is one core's work.
    let environment = [("RAYON_NUM_THREADS", "1")];
    let end = run_child(&settings.command, &environment, &input, bounds).await.map_err(refused)?;
    judge(end)
}

fn refused(error: ChildError) -> RenderError {
    match error {
        ChildError::Process(source) => RenderError::Process(source),
        ChildError::TimedOut(limit) => RenderError::TimedOut(limit),
        ChildError::TooLarge { limit_bytes } => RenderError::TooLarge { limit_bytes },
    }
}

fn judge(ChildEnd { status, output: content, words: message }: ChildEnd) -> Result<Pdf, RenderError> {
    if !status.success() || !content.starts_with(b"%PDF-") {
        return Err(RenderError::Child { status: status.to_string(), message });
    }
    let note: Note = serde_json::from_str(message.lines().last().unwrap_or_default())?;
    Ok(Pdf { content, pages: note.pages, accessible: note.accessible, warnings: note.warnings })
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
