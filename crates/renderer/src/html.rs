//! The HTML report: one page that needs no other file and runs no script. Escaping is decided by the template's name; its
//! own policy forbids every address but the logo inside it, so that even a mistake here could load nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    Logo, RenderError, ReportModel, chart,
    view::{Limits, ReportView},
};

const TEMPLATE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");
const LIMITS: Limits =
    Limits { line_chars: 500, block_chars: 20_000, details_chars: 8_000_000, coverage_rows: 500, breaks: false };

/// What the template reads.
#[derive(Serialize)]
struct Page {
    r: ReportView,
    ring: String,
    logo: Option<String>,
    style: &'static str,
    style_hash: String,
    fence: Vec<Pale>,
}

/// One pale of the cover's fence.
#[derive(Serialize)]
struct Pale {
    x: u32,
    y: u32,
}

/// The report as HTML.
///
/// # Errors
/// `Template` when our template does not fit the view, which is a defect.
pub fn render_html(model: &ReportModel) -> Result<Vec<u8>, RenderError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // The name ends in `.html`: everything is escaped but our own style and chart, which are marked `safe`.
    environment.add_template("report.html", TEMPLATE).map_err(RenderError::Template)?;
    let template = environment.get_template("report.html").map_err(RenderError::Template)?;
    let page = Page {
        r: ReportView::of(model, LIMITS),
        ring: chart::ring(&model.counts),
        logo: model.logo.as_ref().map(Logo::data_url),
        style: STYLE,
        style_hash: format!("sha256-{}", STANDARD.encode(Sha256::digest(STYLE))),
        fence: fence(),
    };
    Ok(template.render(Serde(page)).map_err(RenderError::Template)?.into_bytes())
}

/// The cover's fence: pales that rise to the right.
fn fence() -> Vec<Pale> {
    (0..9_u32).map(|place| Pale { x: place * 52, y: 330 - place * 30 + place % 2 * 18 }).collect()
}

#[cfg(test)]
mod tests {
    use picket_domain::{CoverageState, Gap, Severity};

    use super::*;
    use crate::model::tests::{coverage, finding, report};

    fn rendered(model: &ReportModel) -> String {
        String::from_utf8(render_html(model).unwrap()).unwrap()
    }

    #[test]
    fn hostile_text_is_shown_literally() {
        let attacks = [
            "</script><script>alert(1)</script>",
            "<img src=file:///etc/passwd onerror=alert(1)>",
            "{{7*7}}{% include 'x' %}",
            "\"><svg onload=alert(1)>",
            "</style><style>@import url(//x)</style>",
        ];
        for attack in attacks {
            let mut entry = finding(Severity::High, None, attack);
            entry.evidence = attack.to_owned();
            entry.location.url = Some(attack.to_owned());
            entry.cve = Some(attack.to_owned());
            let mut model = report(vec![entry]);
            model.company_name = attack.to_owned();
            model.warnings = vec![attack.to_owned()];
            let page = rendered(&model);
            assert!(!page.contains(attack) || attack.starts_with("{{"), "{attack}");
            for tag in ["<script", "<img", "onload=alert(1)>", "<style>@import"] {
                assert!(!page.contains(tag), "{tag} from {attack}");
            }
        }
        let page = rendered(&report(vec![finding(Severity::High, None, "{{7*7}}")]));
        assert!(page.contains("{{7*7}}") && !page.contains(">49<"));
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = rendered(&report(vec![finding(Severity::High, Some(7.5), "a")]));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("url("), "{page}");
        assert!(page.contains("default-src &#x27;none&#x27;") || page.contains("default-src 'none'"));
    }

    #[test]
    fn the_policy_allows_exactly_our_style() {
        let page = rendered(&report(Vec::new()));
        let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let hash = STANDARD.encode(Sha256::digest(style));
        // Inside an attribute the escaped form means the same.
        assert!(page.replace("&#x2f;", "/").contains(&format!("style-src 'sha256-{hash}'")), "{hash}");
        assert!(!page.contains(" style=\""), "the policy forbids styles in attributes");
    }

    #[test]
    fn nothing_found_with_a_gap_is_never_called_clean() {
        let mut model = report(Vec::new());
        assert!(rendered(&model).contains("Nothing was found."));
        model.scans[0].coverage.push(coverage(CoverageState::Partial, Some(Gap::OutputTruncated)));
        let page = rendered(&model);
        assert!(!page.contains("Nothing was found."));
        assert!(page.contains("Inconclusive") && page.contains("its output was too large and was cut"));
        model.include_executive_summary = false;
        assert!(rendered(&model).contains("1 of 2 planned checks ran to the end."));
    }

    #[test]
    fn parts_that_are_not_wanted_are_absent() {
        let mut model = report(vec![finding(Severity::High, Some(7.5), "a")]);
        assert!(rendered(&model).contains("What was seen.") && rendered(&model).contains("What to fix first"));
        model.include_executive_summary = false;
        model.include_technical_details = false;
        let page = rendered(&model);
        assert!(
            !page.contains("What was seen.")
                && !page.contains("What to fix first")
                && !page.contains("details of the last")
        );
        assert!(page.contains("example.com:443&#x2f;tcp"));
    }
}
