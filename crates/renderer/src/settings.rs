//! What an operator may decide about rendering; every limit has a default that fits a small machine.

use std::{path::PathBuf, time::Duration};

use picket_domain::ReportFormat;
use picket_kit::ChildCommand;
use picket_store::reports::content::ContentLimits;
use serde::Deserialize;

/// Settings of the renderer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RendererSettings {
    /// Reports that this process renders at once.
    pub slots: usize,
    /// A folder of fonts (`.otf`, `.ttf`, `.ttc`), e.g. Inter and Droid Sans Fallback; without it the built-in fonts serve.
    pub fonts_dir: Option<PathBuf>,
    /// The most findings that one PDF lists.
    pub max_findings_pdf: usize,
    /// The most findings that one HTML page lists.
    pub max_findings_html: usize,
    /// The most findings that one JSON document lists.
    pub max_findings_json: usize,
    /// Mebibytes of findings' texts in one report; what is beyond is counted and not listed.
    pub max_text_mib: usize,
    /// Mebibytes of address space of the process that makes a PDF.
    pub pdf_memory_mib: u64,
    /// Seconds that one PDF may take.
    pub pdf_seconds: u64,
    /// Mebibytes of the largest PDF.
    pub pdf_size_mib: u64,
    /// Runs of one report that may go wrong.
    pub max_failures: i32,
    /// Milliseconds between two looks for reports that no message came for.
    pub sweep_ms: u64,
    /// Milliseconds after which a waiting report counts as one that no message came for.
    pub grace_ms: u64,
    /// Seconds that a claim holds without renewal.
    pub lease_seconds: u64,
}

impl Default for RendererSettings {
    fn default() -> Self {
        Self {
            slots: 2,
            fonts_dir: None,
            max_findings_pdf: 2_000,
            max_findings_html: 5_000,
            max_findings_json: 50_000,
            max_text_mib: 64,
            pdf_memory_mib: 2_048,
            pdf_seconds: 60,
            pdf_size_mib: 64,
            max_failures: 3,
            sweep_ms: 5_000,
            grace_ms: 10_000,
            lease_seconds: 30,
        }
    }
}

const MIB: usize = 1_024 * 1_024;
const MIB_U64: u64 = 1_024 * 1_024;

impl RendererSettings {
    pub(crate) const fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    pub(crate) const fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms)
    }

    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// How much of the findings a format takes.
    pub(crate) const fn content(&self, format: ReportFormat) -> ContentLimits {
        let findings = match format {
            ReportFormat::Pdf => self.max_findings_pdf,
            ReportFormat::Html => self.max_findings_html,
            ReportFormat::Json => self.max_findings_json,
        };
        ContentLimits { findings, text_bytes: self.max_text_mib.saturating_mul(MIB) }
    }

    /// How PDFs are made by that program.
    pub(crate) fn pdf(&self, command: ChildCommand) -> PdfSettings {
        PdfSettings {
            fonts_dir: self.fonts_dir.clone(),
            memory_limit_bytes: self.pdf_memory_mib.saturating_mul(MIB_U64),
            wall_limit: Duration::from_secs(self.pdf_seconds),
            size_limit_bytes: self.pdf_size_mib.saturating_mul(MIB_U64),
            max_findings: self.max_findings_pdf,
            ..PdfSettings::of(command)
        }
    }
}

/// How one PDF is made.
#[derive(Debug, Clone)]
pub struct PdfSettings {
    /// The program that turns a model on its standard input into a PDF on its standard output (`child_main`).
    pub command: ChildCommand,
    /// A folder of fonts; without it the built-in ones serve.
    pub fonts_dir: Option<PathBuf>,
    /// The child's address space.
    pub memory_limit_bytes: u64,
    /// How long the child may take by the clock on the wall.
    pub wall_limit: Duration,
    /// The largest PDF.
    pub size_limit_bytes: u64,
    /// The most findings that it lists.
    pub max_findings: usize,
}

impl PdfSettings {
    /// The defaults, with the program that the caller knows.
    #[must_use]
    pub const fn of(command: ChildCommand) -> Self {
        Self {
            command,
            fonts_dir: None,
            memory_limit_bytes: 2_048 * MIB_U64,
            wall_limit: Duration::from_secs(60),
            size_limit_bytes: 64 * MIB_U64,
            max_findings: 2_000,
        }
    }
}
