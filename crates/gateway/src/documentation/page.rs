//! The reference page: plain HTML made of the document, without a script and without anything from elsewhere.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Value};

use crate::html::escape;

/// Sections of the page: a heading and the beginning of its paths.
const SECTIONS: [(&str, &str); 3] = [("Version 1", "/api/v1/"), ("Version 2", "/api/v2/"), ("Service", "/")];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// One operation of the document.
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    body: &'a Value,
}

/// The page of a document.
pub(super) fn render(document: &Value) -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _written = write_page(&mut page, document);
    page
}

fn write_page(page: &mut String, document: &Value) -> std::fmt::Result {
    let info = &document["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{title} API</title>\
         <link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body><header><h1>{title} API <small>{version}</small>\
         </h1><p>{}</p><p>Send an access token or an API key as <code>Authorization: Bearer …</code>, or a key as \
         <code>X-API-Key</code>. The machine-readable form of this page is <a href=\"/openapi.json\">/openapi.json</a>.\
         </p></header><div class=\"columns\"><nav>",
        text(&info["description"])
    )?;
    let sections = sections(document);
    for (heading, groups) in &sections {
        write!(page, "<h2>{heading}</h2>")?;
        for (tag, operations) in groups {
            write!(page, "<h3>{}</h3><ul>", escape(tag))?;
            for operation in operations {
                let (anchor, summary) = (operation.anchor(), text(&operation.body["summary"]));
                let name = summary.trim_end_matches('.');
                write!(page, "<li><a href=\"#{anchor}\">{name}</a></li>")?;
            }
            page.push_str("</ul>");
        }
    }
    page.push_str("</nav><main>");
    for (heading, groups) in &sections {
        write!(page, "<section><h2>{heading}</h2>")?;
        for operation in groups.values().flatten() {
            write_operation(page, operation)?;
        }
        page.push_str("</section>");
    }
    write_schemas(page, at(document, "/components/schemas"))?;
    page.push_str("</main></div></body></html>");
    Ok(())
}

/// Operations by section and tag; each is in the first section that its path begins with.
fn sections(document: &Value) -> Vec<(&'static str, BTreeMap<&str, Vec<Operation<'_>>>)> {
    let mut sections: Vec<_> = SECTIONS.iter().map(|(heading, _)| (*heading, BTreeMap::new())).collect();
    for (path, item) in object(&document["paths"]) {
        let Some(place) = SECTIONS.iter().position(|(_, prefix)| path.starts_with(prefix)) else { continue };
        let Some((_, groups)) = sections.get_mut(place) else { continue };
        for method in METHODS {
            let Some(body) = item.get(method) else { continue };
            let tag = at(body, "/tags/0").as_str().unwrap_or("other");
            groups.entry(tag).or_insert_with(Vec::new).push(Operation { method, path, body });
        }
    }
    sections
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        text(&self.body["operationId"])
    }
}

fn write_operation(page: &mut String, operation: &Operation<'_>) -> std::fmt::Result {
    let body = operation.body;
    write!(
        page,
        "<article id=\"{}\"><h3><span class=\"method {}\">{}</span> <code>{}</code></h3><p>{}</p>",
        operation.anchor(),
        operation.method,
        operation.method.to_uppercase(),
        escape(operation.path),
        text(&body["summary"]),
    )?;
    if body.get("security").is_some() {
        page.push_str("<p class=\"note\">Needs no credentials.</p>");
    }
    let parameters: Vec<&Value> = body["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        page.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let place = text(&parameter["in"]);
            let kind = kind(&parameter["schema"]);
            let (name, about) = (text(&parameter["name"]), text(&parameter["description"]));
            write!(page, "<tr><td><code>{name}</code></td><td>{place}, {kind}</td><td>{about}</td></tr>")?;
        }
        page.push_str("</table>");
    }
    for (media_type, content) in object(at(body, "/requestBody/content")) {
        write!(page, "<h4>Body</h4><p>{} <small>{}</small></p>", kind(&content["schema"]), escape(media_type))?;
    }
    page.push_str("<details><summary>Answers</summary><table>");
    for (status, response) in object(&body["responses"]) {
        let shape =
            object(&response["content"]).next().map(|(_, content)| kind(&content["schema"])).unwrap_or_default();
        let about = text(&response["description"]);
        write!(page, "<tr><td><code>{}</code></td><td>{shape}</td><td>{about}</td></tr>", escape(status))?;
    }
    page.push_str("</table></details></article>");
    Ok(())
}

fn write_schemas(page: &mut String, schemas: &Value) -> std::fmt::Result {
    page.push_str("<section><h2>Shapes</h2>");
    for (name, schema) in object(schemas) {
        let name = escape(name);
        write!(
            page,
            "<article id=\"shape-{name}\"><h3><code>{name}</code></h3><p>{}</p>",
            text(&schema["description"])
        )?;
        let parts: Vec<&Value> =
            schema["allOf"].as_array().map_or_else(|| vec![schema], |parts| parts.iter().collect());
        let has_fields = parts.iter().any(|part| part.get("properties").is_some());
        if has_fields {
            page.push_str("<table>");
            for part in parts {
                write_fields(page, part)?;
            }
            page.push_str("</table>");
        } else {
            write!(page, "<p>{}</p>", kind(schema))?;
        }
        page.push_str("</article>");
    }
    page.push_str("</section>");
    Ok(())
}

fn write_fields(page: &mut String, schema: &Value) -> std::fmt::Result {
    if schema.get("$ref").is_some() {
        return write!(page, "<tr><td colspan=\"3\">all of {}</td></tr>", kind(schema));
    }
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in object(&schema["properties"]) {
        let optional = if required.contains(&name.as_str()) { "" } else { " <small>optional</small>" };
        let (shape, about) = (kind(field), text(&field["description"]));
        write!(page, "<tr><td><code>{}</code>{optional}</td><td>{shape}</td><td>{about}</td></tr>", escape(name))?;
    }
    Ok(())
}

/// The type of a schema in a few words; shapes of their own are links.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        let name = escape(name);
        return format!("<a href=\"#shape-{name}\">{name}</a>");
    }
    let choices = ["oneOf", "anyOf"].iter().find_map(|key| schema[*key].as_array());
    if let Some(choices) = choices {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("<code>{}</code>", plain(value))).collect::<Vec<_>>().join(" · ");
    }
    if schema["type"] == "array" {
        return format!("list of {}", kind(&schema["items"]));
    }
    let name = match schema["type"].as_array() {
        Some(kinds) => kinds.iter().map(plain).collect::<Vec<_>>().join(" or "),
        None => plain(&schema["type"]),
    };
    match schema["format"].as_str() {
        Some(format) => format!("{name} <small>{}</small>", escape(format)),
        None => name,
    }
}

/// What the pointer leads to; null when it leads nowhere.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| escape(&value.to_string()), escape)
}

/// A text of the document, escaped; what is between backticks is code.
fn text(value: &Value) -> String {
    let parts = value.as_str().unwrap_or_default().split('`').enumerate();
    parts
        .map(|(place, part)| if place % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn markup_of_the_document_stays_text() {
        assert_eq!(text(&json!("<b> & `a<b`")), "&lt;b&gt; &amp; <code>a&lt;b</code>");
    }

    #[test]
    fn types_are_named_in_words() {
        assert_eq!(kind(&json!({"type": "array", "items": {"type": "string"}})), "list of string");
        assert_eq!(
            kind(&json!({"type": ["string", "null"], "format": "date-time"})),
            "string or null <small>date-time</small>"
        );
        assert_eq!(kind(&json!({"$ref": "#/components/schemas/A"})), "<a href=\"#shape-A\">A</a>");
    }
}
