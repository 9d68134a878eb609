//! Renders reports. One model of a report becomes JSON, HTML or PDF; the document goes to the object store, and the
//! world hears `report.generated`. All text of findings is the scanned target's and hostile: it is passed to templates
//! as data and never becomes part of a template, a path or markup. A report never says "clean" of what was not looked at.
//!
//! ```text
//! queue or timer ─▶ claim in Postgres ─▶ model ─┬▶ json  (here)
//!                                               ├▶ html  (here, minijinja)
//!                                               └▶ pdf   (child process under limits, typst)
//!                        ─▶ object store ─▶ complete: fenced by the attempt, with its event
//! ```

mod chart;
mod child;
mod compose;
mod error;
mod html;
mod job;
mod json;
mod logo;
mod model;
mod pdf;
mod process;
mod role;
mod settings;
mod text;
mod verdict;
mod view;

pub use child::child_main;
pub use error::RenderError;
pub use html::render_html;
pub use json::render_json;
pub use logo::{Logo, LogoError, LogoKind};
pub use model::{FindingEntry, ReportModel, ScanSection};
pub use process::{Pdf, render_pdf};
pub use role::{Parts, run};
pub use settings::{PdfSettings, RendererSettings};
