//! WhatWeb's brief lines (its usual output and `--log-brief`): an address, its answer, and what was recognized, each with
//! details in brackets. Nothing says that the file is whole.

use std::io::BufRead;

use super::report::{Found, tell};
use crate::{Context, Head, Parsed, import, tally::Tally, text};

/// What is recognized of one page.
const MAX_PLUGINS: usize = 500;

pub(super) fn recognizes(head: &Head<'_>) -> bool {
    begin(&text::plain(head.first_line())).is_some()
}

/// `http://192.0.2.1/ [200 OK] `, and what stands behind. Other tools print no words behind the number.
fn begin(line: &str) -> Option<(&str, &str)> {
    let (address, rest) = line.split_once(" [")?;
    let (status, rest) = rest.split_once(']')?;
    let (number, words) = status.split_once(' ')?;
    let fits = (address.starts_with("http://") || address.starts_with("https://"))
        && !address.contains(' ')
        && number.len() == 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && words.starts_with(|c: char| c.is_ascii_alphabetic());
    fits.then_some((address, rest.trim()))
}

pub(super) fn read(input: &mut dyn BufRead, context: &Context<'_>, tally: Tally<'_>) -> Parsed {
    import::texts(input, tally, &mut |line, tally| {
        let line = text::plain(line);
        // What did not answer says nothing of the site.
        if line.starts_with("ERROR Opening: ") {
            return true;
        }
        let Some((address, plugins)) = begin(&line) else { return false };
        let plugins = plugins_of(plugins, tally);
        tell(address, plugins, context, tally);
        true
    })
}

/// `Apache[2.4.49], HTTPServer[Unix][Apache/2.4.49], Title[a, b]`: a comma inside of brackets ends nothing.
fn plugins_of(list: &str, tally: &mut Tally<'_>) -> Vec<Found> {
    let mut depth = 0_u32;
    let pieces = list.split(|character| {
        match character {
            '[' => depth = depth.saturating_add(1),
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    let mut plugins = Vec::new();
    for found in pieces.map(plugin).filter(|found| !found.name.is_empty()) {
        if plugins.len() >= MAX_PLUGINS {
            tally.cut();
            break;
        }
        plugins.push(found);
    }
    plugins
}

/// Whether the first details are a version cannot be told from the line unless they look like one.
fn plugin(piece: &str) -> Found {
    let piece = piece.trim();
    let (name, details) = piece.split_once('[').unwrap_or((piece, ""));
    let details: Vec<String> = details.trim_end_matches(']').split("][").filter(|text| !text.is_empty()).take(10).map(str::to_owned).collect();
    let is_version = |text: &&String| text.len() <= 40 && text.starts_with(|c: char| c.is_ascii_digit()) && !text.contains(' ');
    let version = details.first().filter(is_version).cloned();
    // How sure it is stands before the name.
    let name = ["Certainly ", "Probably ", "Maybe ", "Possibly "].iter().fold(name, |name, word| name.trim_start_matches(word)).trim();
    Found { name: name.to_owned(), version, details }
}
