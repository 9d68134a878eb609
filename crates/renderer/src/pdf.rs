//! Typesetting. Runs in the child process alone: typst has no limit of its own. The template is ours and fixed; a report
//! reaches it as the virtual file `/data.json`, so no text of a finding is ever read as markup.

mod fonts;
mod world;

pub(crate) use fonts::Fonts;
use serde::Serialize;
use typst::{
    diag::SourceDiagnostic,
    foundations::{Datetime, Smart},
};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use self::world::ReportWorld;
use crate::{
    ReportModel, chart,
    view::{Limits, ReportView},
};

/// What a PDF shows; longer texts cost the reader pages and the typesetter seconds.
const LIMITS: Limits =
    Limits { line_chars: 300, block_chars: 6_000, details_chars: 400_000, coverage_rows: 100, breaks: true };

/// A typeset report.
pub(crate) struct Typeset {
    /// The file.
    pub(crate) content: Vec<u8>,
    /// How many pages it has.
    pub(crate) pages: usize,
    /// Whether it conforms to PDF/UA-1; text in a script without a font does not.
    pub(crate) accessible: bool,
    /// What the report's record should say.
    pub(crate) warnings: Vec<String>,
}

/// What the template reads.
#[derive(Serialize)]
struct Data<'a> {
    r: &'a ReportView,
    logo: Option<&'static str>,
    has_inter: bool,
}

/// Typesets a report; the error is for the log.
pub(crate) fn typeset(model: &ReportModel, fonts: &Fonts) -> Result<Typeset, String> {
    let mut view = ReportView::of(model, LIMITS);
    let mut warnings = Vec::new();
    let mut document = compile(model, &view, fonts, model.logo.is_some());
    if model.logo.is_some() && document.is_err() {
        // The header of the picture was sound, the rest of it is not.
        let warning = "The logo could not be read and is left out.".to_owned();
        view.warnings.push(warning.clone());
        warnings.push(warning);
        document = compile(model, &view, fonts, false);
    }
    let document = document?;
    let (content, accessible) = export(model, &document)?;
    // Typst's caches would outlive the document otherwise.
    typst::comemo::evict(0);
    Ok(Typeset { content, pages: document.pages().len(), accessible, warnings })
}

fn compile(model: &ReportModel, view: &ReportView, fonts: &Fonts, with_logo: bool) -> Result<PagedDocument, String> {
    let logo = model.logo.as_ref().filter(|_| with_logo);
    let data = Data { r: view, logo: logo.map(|logo| logo.kind().name()), has_inter: fonts.has("Inter") };
    let data = serde_json::to_vec(&data).map_err(|error| error.to_string())?;
    let mut files = vec![("/data.json", data), ("/ring.svg", chart::ring(&model.counts).into_bytes())];
    files.extend(logo.map(|logo| ("/logo", logo.content().to_vec())));
    let world = ReportWorld::new(fonts, files)?;
    typst::compile::<PagedDocument>(&world).output.map_err(|errors| words(&errors))
}

/// PDF/UA-1 where possible. It refuses a character without a glyph, and evidence may hold any: then without.
fn export(model: &ReportModel, document: &PagedDocument) -> Result<(Vec<u8>, bool), String> {
    let standards = PdfStandards::new(&[PdfStandard::Ua_1]).map_err(|error| error.message().to_string())?;
    match typst_pdf::pdf(document, &options(model, standards)) {
        Ok(content) => Ok((content, true)),
        Err(_) => typst_pdf::pdf(document, &options(model, PdfStandards::default()))
            .map(|content| (content, false))
            .map_err(|errors| words(&errors)),
    }
}

fn options(model: &ReportModel, standards: PdfStandards) -> PdfOptions {
    let made = model.generated_at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    let made = Datetime::from_ymd_hms(
        i32::from(made.year()),
        part(made.month()),
        part(made.day()),
        part(made.hour()),
        part(made.minute()),
        part(made.second()),
    );
    PdfOptions {
        ident: Smart::Custom(model.id.to_string()),
        creator: Smart::Custom(Some("Picket".to_owned())),
        timestamp: made.map(Timestamp::new_utc),
        standards,
        ..PdfOptions::default()
    }
}

fn words(errors: &[SourceDiagnostic]) -> String {
    let words: Vec<_> = errors.iter().take(5).map(|error| error.message.to_string()).collect();
    words.join("; ")
}
