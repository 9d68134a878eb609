//! What is in the documents.

use picket_kit::ChildCommand;
use picket_renderer::{Logo, Pdf, PdfSettings, ReportModel, render_html, render_pdf};

use crate::sample;

/// The settings of these tests: the real child, and the fonts of the workspace's stack where they are.
pub(crate) fn settings() -> PdfSettings {
    let program = env!("CARGO_BIN_EXE_picket-render-pdf").into();
    // A build for tests on a busy machine is slow; how long a child may take has a test of its own.
    let wall_limit = std::time::Duration::from_secs(600);
    PdfSettings { fonts_dir: fonts_dir(), wall_limit, ..PdfSettings::of(ChildCommand { program, args: Vec::new() }) }
}

/// Inter and a font for Chinese and Japanese, which the stack brings; the tests pass without.
pub(crate) fn fonts_dir() -> Option<std::path::PathBuf> {
    picket_testkit::optional("PICKET_FONTS_DIR").map(Into::into)
}

/// Renders and keeps the document in the build folder.
async fn kept(name: &str, model: &ReportModel) -> Pdf {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let pdf = render_pdf(model, &settings()).await.unwrap();
    std::fs::write(folder.join(format!("{name}.pdf")), &pdf.content).unwrap();
    std::fs::write(folder.join(format!("{name}.html")), render_html(model).unwrap()).unwrap();
    pdf
}

#[tokio::test]
async fn a_report_of_twelve_findings_is_a_document_of_a_few_pages() {
    let pdf = kept("report-12", &sample::report(12)).await;
    assert!((5..=9).contains(&pdf.pages), "{} pages", pdf.pages);
    assert!(pdf.accessible && pdf.warnings.is_empty());
}

#[tokio::test]
async fn a_report_without_findings_is_a_document() {
    let pdf = kept("report-0", &sample::report(0)).await;
    assert!((3..=4).contains(&pdf.pages), "{} pages", pdf.pages);
    assert!(pdf.accessible);
}

#[tokio::test]
async fn a_report_of_two_hundred_findings_is_a_document() {
    let pdf = kept("report-200", &sample::report(200)).await;
    assert!((50..=100).contains(&pdf.pages), "{} pages", pdf.pages);
}

#[tokio::test]
async fn hostile_text_makes_an_ordinary_document() {
    let pdf = kept("report-hostile", &sample::hostile()).await;
    assert!(pdf.pages < 30, "{} pages", pdf.pages);
    assert!(pdf.warnings.is_empty(), "{:?}", pdf.warnings);
}

#[tokio::test]
async fn a_report_without_summary_and_details_is_short() {
    let mut model = sample::report(12);
    model.include_executive_summary = false;
    model.include_technical_details = false;
    let pdf = kept("report-short", &model).await;
    assert!((2..=4).contains(&pdf.pages), "{} pages", pdf.pages);
}

#[tokio::test]
async fn a_broken_logo_is_left_out_and_said() {
    let mut model = sample::report(1);
    let mut broken = include_bytes!("logo.png").to_vec();
    broken.truncate(40);
    model.logo = Some(Logo::parse(broken).unwrap());
    let pdf = kept("report-broken-logo", &model).await;
    assert_eq!(pdf.warnings, ["The logo could not be read and is left out."]);
}

#[tokio::test]
async fn a_report_looks_the_same_each_time() {
    let model = sample::report(3);
    let (first, second) =
        (render_pdf(&model, &settings()).await.unwrap(), render_pdf(&model, &settings()).await.unwrap());
    assert!(first == second);
}
