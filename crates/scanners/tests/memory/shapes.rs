//! What can be done to a report to make it large: at places spread over a sample, one thing is repeated without end.

use super::endless::{NUMBER, Recipe};

/// Places of one kind in one sample, evenly spread.
const MAX_PLACES: usize = 3;
/// Deeper than anything that a tool prints.
const DEPTH: usize = 100_000;

/// What takes most memory for its text.
const CHAIN: &str = "{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":0}}}}}}}},";

/// Makes recipes of one sample.
pub(crate) struct Shapes<'a> {
    text: &'a str,
    bytes: usize,
    made: Vec<Recipe>,
}

/// Reports that are no report of any tool, each of about so many bytes.
pub(crate) fn of_nothing(bytes: usize) -> Vec<Recipe> {
    let mut shapes = Shapes { text: "", bytes, made: Vec::new() };
    for (name, head, piece) in [
        ("a line without end", "", "x"),
        ("lines of one letter", "", "x\n"),
        ("empty lines", "", "\n"),
        ("lines of space", "", "   \t \r\n"),
        ("cells without end", "", ","),
        ("a cell without end", "\"", "x\n"),
        ("quotes", "", "\""),
        ("zeros", "", "\0"),
        ("escapes", "", "\u{1b}[31m"),
        ("a text without end", "[\"", "x"),
        ("a key without end", "{\"", "x"),
        ("empty objects", "[", "{},"),
        ("empty lists", "[", "[],"),
        ("empty texts", "[", "\"\","),
        ("chains", "[[", CHAIN),
        ("keys", "{", "\"@N@\":0,"),
        ("the same key", "{", "\"a\":{},"),
        ("digits", "[", "9"),
        ("space in JSON", "[", " "),
        ("lines of objects", "", "{}\n"),
        ("lines of open lists", "", "[[[[\n"),
    ] {
        shapes.push(name, head, piece, "");
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]"), ("<a>", "</a>")] {
        shapes.made.push(Recipe {
            name: format!("nested {open}"),
            head: Vec::new(),
            piece: open.to_owned(),
            tail: close.repeat(DEPTH).into_bytes(),
            bytes: open.len() * DEPTH,
        });
    }
    shapes.made
}

/// The sample made large in every way that its kind of text knows.
pub(crate) fn of_sample(text: &str, bytes: usize) -> Vec<Recipe> {
    let mut shapes = Shapes { text, bytes, made: Vec::new() };
    match text.trim_start_matches('\u{feff}').trim_start().chars().next() {
        Some('<') => shapes.xml(),
        Some('{' | '[') => {
            shapes.json();
            shapes.lines();
        }
        _ => shapes.lines(),
    }
    shapes.made
}

impl Shapes<'_> {
    fn push(&mut self, name: &str, head: &str, piece: &str, tail: &str) {
        let (head, tail) = (head.as_bytes().to_vec(), tail.as_bytes().to_vec());
        self.made.push(Recipe { name: name.to_owned(), head, piece: piece.to_owned(), tail, bytes: self.bytes });
    }

    /// The sample with `piece` repeated at `at`, and a second time without what follows.
    fn at(&mut self, name: &str, at: usize, piece: &str) {
        let (head, tail) = self.text.split_at(at);
        self.push(&format!("{name} at {at}"), head, piece, tail);
    }

    /// The sample with `DEPTH` pieces at `at` that are never closed.
    fn deep(&mut self, at: usize, piece: &str) {
        let head = self.text.as_bytes()[..at].to_vec();
        let name = format!("nested {piece} at {at}");
        self.made.push(Recipe { name, head, piece: piece.to_owned(), tail: Vec::new(), bytes: piece.len() * DEPTH });
    }

    fn json(&mut self) {
        let places = JsonPlaces::of(self.text);
        for at in spread(&places.texts) {
            self.at("a long text", at, "x");
            self.at("escapes in a text", at, "\\u0041");
        }
        for at in spread(&places.lists) {
            for piece in ["{},", "[],", "\"\",", "0,", "{\"\":0},", "{\"a\":{\"b\":[{}]}},", CHAIN] {
                self.at(&format!("many {piece}"), at, piece);
            }
            for piece in ["[", "{\"a\":"] {
                self.deep(at, piece);
            }
        }
        for (at, end) in &places.elements {
            self.at("the same element", *at, &format!("{},", &self.text[*at..*end]));
        }
        for at in spread(&places.objects) {
            self.at("keys", at, &format!("\"{NUMBER}\":0,"));
            self.at("the same key", at, "\"a\":{\"b\":0},");
            self.deep(at, "\"a\":{");
        }
    }

    fn xml(&mut self) {
        let values = places_behind(self.text, "=\"");
        let inside = element_ends(self.text);
        for at in spread(&values) {
            self.at("a long attribute", at, "x");
            self.at("references in an attribute", at, "&#65;");
        }
        for at in spread(&tag_starts(self.text)) {
            self.at("attributes", at, &format!(" a{NUMBER}=\"\""));
            self.at("the same attribute", at, " a=\"b\"");
        }
        for at in spread(&inside) {
            for piece in ["x", "&amp;", "<x/>", "<x y=\"z\">t</x>", "<!-- c -->", "<?p i?>", "<![CDATA[x]]>", "\n"] {
                self.at(&format!("many {piece}"), at, piece);
            }
            self.deep(at, "<x>");
            for open in ["<!--", "<?p ", "<![CDATA[", "<x ", "<x a=\"", "<!DOCTYPE x ["] {
                let head = format!("{}{open}", &self.text[..at]);
                self.push(&format!("no end of {open}"), &head, "x", "");
            }
        }
        for (at, element) in elements(self.text) {
            self.at(&format!("the same element {:.12}", element), at, &element);
        }
    }

    fn lines(&mut self) {
        let starts = places_behind(self.text, "\n");
        for at in spread(&starts).into_iter().chain([0]) {
            let line = self.text[at..].split_inclusive('\n').next().unwrap_or("x\n").to_owned();
            if line.ends_with('\n') {
                self.at("the same line", at, &line);
            }
            let middle = (at..at + line.len() / 2).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(at);
            for piece in ["x", " ", ",", "\"", "x,", "a b "] {
                self.at(&format!("a line of {piece:?}"), middle, piece);
            }
            for piece in ["x\n", "\n", "{}\n", "\"a\nb\",\n"] {
                self.at(&format!("lines of {piece:?}"), at, piece);
            }
        }
    }
}

/// A few of many, evenly spread, with the first.
fn spread(places: &[usize]) -> Vec<usize> {
    let step = places.len().div_ceil(MAX_PLACES).max(1);
    places.iter().copied().step_by(step).collect()
}

fn places_behind(text: &str, mark: &str) -> Vec<usize> {
    text.match_indices(mark).map(|(at, _)| at + mark.len()).filter(|at| *at < text.len()).collect()
}

/// Places in JSON, each behind the character that makes it one.
#[derive(Default)]
struct JsonPlaces {
    texts: Vec<usize>,
    lists: Vec<usize>,
    objects: Vec<usize>,
    /// The first element of each kind of list, by its depth: where it begins and ends.
    elements: Vec<(usize, usize)>,
}

impl JsonPlaces {
    fn of(text: &str) -> Self {
        let (mut places, mut open, mut quote) = (Self::default(), Vec::new(), None);
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match (bytes[at], quote) {
                (b'\\', Some(_)) => at += 1,
                (b'"', Some(_)) => quote = None,
                (b'"', None) => {
                    quote = Some(at);
                    places.texts.push(at + 1);
                }
                (b'[', None) => {
                    places.lists.push(at + 1);
                    open.push(at);
                }
                (b'{', None) => {
                    places.objects.push(at + 1);
                    open.push(at);
                }
                (b']' | b'}', None) => places.close(text, &mut open, at),
                _ => {}
            }
            at += 1;
        }
        places
    }

    /// An object that ends right inside of a list is an element of it; one for each depth is enough.
    fn close(&mut self, text: &str, open: &mut Vec<usize>, at: usize) {
        let Some(start) = open.pop() else { return };
        let is_element = open.last().is_some_and(|&list| text.as_bytes()[list] == b'[');
        let is_known = self.elements.iter().any(|(other, end)| *other <= start && start < *end);
        if is_element && !is_known && self.elements.len() < 2 * MAX_PLACES && text[start..].starts_with('{') {
            self.elements.push((start, at + 1));
        }
    }
}

/// Behind the name of each element.
fn tag_starts(text: &str) -> Vec<usize> {
    let names = text.match_indices('<').filter(|(at, _)| text[at + 1..].starts_with(char::is_alphabetic));
    let end = |at: usize| text[at..].find([' ', '>', '/', '\n']).map(|length| at + length);
    names.filter_map(|(at, _)| end(at + 1)).collect()
}

/// Behind each tag that opens an element.
fn element_ends(text: &str) -> Vec<usize> {
    let ends = tag_starts(text).into_iter().filter_map(|at| text[at..].find('>').map(|length| at + length));
    ends.filter(|end| !text[..*end].ends_with('/')).map(|end| end + 1).collect()
}

/// The first element of each name but the root's, whole.
fn elements(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    for end in tag_starts(text).into_iter().skip(1) {
        let at = text[..end].rfind('<').unwrap_or(end);
        let name = &text[at + 1..end];
        let is_known = found.iter().any(|(_, one)| one.starts_with(&format!("<{name}")));
        let Some(tag) = text[end..].find('>').map(|length| end + length) else { continue };
        let close = format!("</{name}>");
        let stop = if text[..tag].ends_with('/') {
            Some(tag + 1)
        } else {
            text[tag..].find(&close).map(|length| tag + length + close.len())
        };
        if let (false, Some(stop)) = (is_known, stop) {
            found.push((at, text[at..stop].to_owned()));
        }
    }
    found
}
