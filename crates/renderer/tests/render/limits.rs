//! What the child process may not do, and what is said of it.

use std::time::Duration;

use picket_kit::ChildCommand;
use picket_renderer::{PdfSettings, RenderError, render_pdf};

use crate::{documents::settings, sample};

fn program(path: &str, args: &[&str]) -> PdfSettings {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    PdfSettings::of(ChildCommand { program: path.into(), args })
}

#[tokio::test]
async fn a_report_that_needs_too_much_memory_ends_in_an_error() {
    let settings = PdfSettings { memory_limit_bytes: 96 * 1_024 * 1_024, ..settings() };
    let error = render_pdf(&sample::report(200), &settings).await.unwrap_err();
    assert!(matches!(error, RenderError::Child { .. }), "{error}");
    assert!(error.reason().contains("within its limits"));
}

#[tokio::test]
async fn a_child_that_does_not_end_is_killed() {
    let settings = PdfSettings { wall_limit: Duration::from_millis(50), ..program("/bin/sleep", &["1000"]) };
    let error = render_pdf(&sample::report(1), &settings).await.unwrap_err();
    assert!(matches!(error, RenderError::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn a_child_that_writes_without_end_is_not_read_on() {
    let settings = PdfSettings { size_limit_bytes: 1_000, ..program("/bin/cat", &["/dev/zero"]) };
    let error = render_pdf(&sample::report(1), &settings).await.unwrap_err();
    assert!(matches!(error, RenderError::TooLarge { limit_bytes: 1_000 }), "{error}");
}

#[tokio::test]
async fn what_is_no_pdf_is_not_taken_for_one() {
    let error = render_pdf(&sample::report(1), &program("/bin/echo", &["hello"])).await.unwrap_err();
    assert!(matches!(error, RenderError::Child { .. }), "{error}");
    let error = render_pdf(&sample::report(1), &program("/nowhere/at/all", &[])).await.unwrap_err();
    assert!(matches!(error, RenderError::Process(_)), "{error}");
}

#[tokio::test]
async fn the_child_sees_no_environment_and_an_empty_folder() {
    let script = "read -r header; cat >/dev/null; ls -A | wc -l >&2; tr '\\0' '\\n' </proc/$$/environ >&2; exit 3";
    let error = render_pdf(&sample::report(1), &program("/bin/sh", &["-c", script])).await.unwrap_err();
    let RenderError::Child { message, .. } = error else { panic!("expected the child's words") };
    assert_eq!(message.trim(), "0\nRAYON_NUM_THREADS=1");
}

#[tokio::test]
async fn findings_over_the_limit_are_left_out_with_a_note() {
    let few = PdfSettings { max_findings: 3, ..settings() };
    let short = render_pdf(&sample::report(100), &few).await.unwrap();
    assert!(short.pages < 9, "{} pages", short.pages);
}

#[tokio::test]
async fn a_child_without_a_report_says_what_it_expected() {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_picket-render-pdf"));
    let output = child.stdin(std::process::Stdio::null()).output().await.unwrap();
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected a header"));
}
