//! The same report as other versions, other systems and other tools on its way write it: a byte order mark, lines that end in
//! CR LF, keys in another order, indented or not, comments, empty elements written in two ways. Every sample of ours tells
//! the same in each form, and is as complete.

use std::{
    fs,
    path::{Path, PathBuf},
};

use picket_scanners::{Context, Head, recognize};
use serde_json::Value;

/// Findings are told while a report is read, and these name what they looked at in front of them, in the order of their
/// program's fields and of the alphabet alike: behind them it comes too late.
const NAMED_IN_FRONT: [&str; 2] = ["trivy/image.json", "trivy/operator.json"];
const REVERSED: &str = "keys the other way around";

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// What is told, in an order of its own, and whether the report is whole.
fn told(text: &str) -> Option<(String, Vec<String>, bool)> {
    let format = recognize(&Head::new(text.as_bytes(), true))?;
    let mut seen = Vec::new();
    let parsed = format.parse(&mut text.as_bytes(), &Context::default(), &mut |one| {
        seen.push(format!("{} {:?} {:?} {} {:?}", one.rule, one.location, one.severity, one.subject, one.cve));
    });
    seen.sort();
    Some((format!("{} {}", format.tool(), format.name()), seen, parsed.is_complete()))
}

/// JSON with the keys of each object in the order of their names, or the other way around.
fn ordered(value: &Value, is_reversed: bool) -> String {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), ordered(value, is_reversed)))
                .collect();
            if is_reversed {
                pairs.reverse();
            }
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Array(values) => {
            format!("[{}]", values.iter().map(|one| ordered(one, is_reversed)).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn json(text: &str) -> Vec<(&'static str, String)> {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Vec::new() };
    vec![
        ("indented", serde_json::to_string_pretty(&value).unwrap() + "\n"),
        ("in one line, keys sorted", value.to_string()),
        (REVERSED, ordered(&value, true)),
    ]
}

fn lines_of_json(text: &str) -> Vec<(&'static str, String)> {
    let values: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let Ok(values) = values else { return Vec::new() };
    if values.len() < 2 && text.trim_end().lines().count() != 1 {
        return Vec::new();
    }
    let all = |is_reversed| values.iter().map(|one| ordered(one, is_reversed) + "\n").collect::<String>();
    vec![("keys sorted", all(false)), (REVERSED, all(true))]
}

fn xml(text: &str) -> Vec<(&'static str, String)> {
    let without = text.split_once("?>").map_or(text, |(_, rest)| rest).trim_start();
    vec![
        ("without declaration", without.to_owned()),
        ("with comments", text.replace("?>\n", "?>\n<!-- a > b -->\n") + "<!-- the end -->\n"),
        ("with an instruction", text.replacen("?>", "?>\n<?xml-stylesheet href=\"a.xsl\" type=\"text/xsl\"?>", 1)),
        ("with a space in empty elements", text.replace("/>", " />")),
    ]
}

fn variants(text: &str) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("a byte order mark", format!("\u{feff}{text}")),
        ("CR LF", text.replace("\r\n", "\n").replace('\n', "\r\n")),
        ("both", format!("\u{feff}{}", text.replace("\r\n", "\n").replace('\n', "\r\n"))),
    ];
    match text.trim_start().chars().next() {
        Some('<') => all.extend(xml(text)),
        Some('{' | '[') => {
            let whole = json(text);
            all.extend(if whole.is_empty() { lines_of_json(text) } else { whole });
        }
        _ => {}
    }
    all
}

#[test]
fn every_form_of_a_sample_tells_the_same() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"), &mut paths);
    paths.sort();
    let (mut count, mut wrong) = (0, Vec::new());
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let Some(first) = told(&text) else { continue };
        for (name, variant) in variants(&text) {
            count += 1;
            let other = told(&variant);
            let is_excused = name == REVERSED && NAMED_IN_FRONT.iter().any(|one| path.ends_with(one));
            if (other.as_ref() == Some(&first)) == is_excused {
                let brief = other.map(|(format, seen, is_complete)| (format, seen.len(), is_complete));
                wrong.push(format!(
                    "{} {name}: {brief:?} for {:?}",
                    path.display(),
                    (&first.0, first.1.len(), first.2)
                ));
            }
        }
    }
    println!("{count} variants");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
