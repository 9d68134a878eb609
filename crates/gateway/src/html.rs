//! The few pages that a person meets who follows a link in a letter: plain forms, without a script, in a frame of nobody.
//! A page shows constants and what was checked; every other text goes through [`escape`].

use std::fmt::Write;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, ContentType},
    },
};

use crate::FieldError;

/// What a page may load and where its form may go: our style sheet, and us.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A field of a form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// Its name in the body.
    pub name: &'static str,
    /// What the person reads; a hidden field has none.
    pub label: Option<&'static str>,
    /// `text`, `password`, `email` …
    pub kind: &'static str,
    /// What browsers and password managers fill in.
    pub autocomplete: &'static str,
    /// What is in it already.
    pub value: &'a str,
}

impl<'a> Field<'a> {
    /// A field that nobody sees.
    pub(crate) const fn hidden(name: &'static str, value: &'a str) -> Self {
        Self { name, label: None, kind: "hidden", autocomplete: "off", value }
    }
}

/// A form of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    /// The path that it is sent to.
    pub action: &'a str,
    /// Its fields.
    pub fields: &'a [Field<'a>],
    /// What its button says.
    pub button: &'static str,
}

/// Whether the client is a browser that wants a page.
pub(crate) fn is_wanted(request: &HttpRequest) -> bool {
    accepts(request, "text/html")
}

/// Whether the client asked for JSON by name, and for no page.
pub(crate) fn is_json_wanted(request: &HttpRequest) -> bool {
    accepts(request, "application/json") && !is_wanted(request)
}

fn accepts(request: &HttpRequest, wanted: &str) -> bool {
    let lines = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted))
}

/// A page with a form, and what was wrong with the last one.
pub(crate) fn page(
    status: StatusCode,
    title: &str,
    text: &str,
    errors: &[FieldError],
    form: Option<Form<'_>>,
) -> HttpResponse {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _written = write(&mut page, title, text, errors, form);
    HttpResponse::build(status)
        .content_type(ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(page)
}

fn write(
    page: &mut String,
    title: &str,
    text: &str,
    errors: &[FieldError],
    form: Option<Form<'_>>,
) -> std::fmt::Result {
    let (title, text) = (escape(title), escape(text));
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title}</title><link rel=\"stylesheet\" \
         href=\"/docs/style.css\"></head><body><main><h1>{title}</h1><p>{text}</p>"
    )?;
    for error in errors {
        write!(page, "<p role=\"alert\">{}: {}</p>", escape(&error.field), escape(&error.message))?;
    }
    if let Some(form) = form {
        write!(page, "<form method=\"post\" action=\"{}\">", escape(form.action))?;
        for field in form.fields {
            write_field(page, field)?;
        }
        write!(page, "<button>{}</button></form>", form.button)?;
    }
    page.push_str("</main></body></html>");
    Ok(())
}

fn write_field(page: &mut String, field: &Field<'_>) -> std::fmt::Result {
    let input = format!(
        "<input type=\"{}\" name=\"{}\" value=\"{}\" autocomplete=\"{}\" required>",
        field.kind,
        field.name,
        escape(field.value),
        field.autocomplete
    );
    match field.label {
        Some(label) => write!(page, "<p><label>{label} {input}</label></p>"),
        None => page.write_str(&input),
    }
}

/// Text that is no markup, in an element or between double quotes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_is_wanted_by_browsers_and_json_by_programs_that_say_so() {
        let with = |accept: &'static str| TestRequest::default().insert_header(("accept", accept)).to_http_request();
        let browser = with("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        assert!(is_wanted(&browser) && !is_json_wanted(&browser));
        let program = with("Application/JSON;q=0.9, text/plain");
        assert!(!is_wanted(&program) && is_json_wanted(&program));
        let both = with("application/json, text/html");
        assert!(is_wanted(&both) && !is_json_wanted(&both));
        for neither in ["*/*", "", "application/jsonp"] {
            assert!(!is_wanted(&with(neither)) && !is_json_wanted(&with(neither)), "{neither}");
        }
    }

    #[test]
    fn hostile_text_stays_text() {
        let mut out = String::new();
        let fields = [Field::hidden("token", "\"><script>")];
        let form = Form { action: "/x", fields: &fields, button: "Go" };
        write(&mut out, "<b>", "a & b", &[FieldError::new("<i>", "x", "'\"")], Some(form)).unwrap();
        assert!(!out.contains("<script") && !out.contains("<b>") && !out.contains("<i>"), "{out}");
        assert!(out.contains("&quot;&gt;&lt;script&gt;") && out.contains("a &amp; b"));
    }
}
