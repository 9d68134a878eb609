//! XML of tools, one piece at a time. No entity is ever expanded but the five of XML itself, no piece is larger than
//! 4 MiB, no element deeper than 64: memory stays flat whatever the input is.

use std::io::{self, BufRead, Read};

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
};

/// The longest tag or text. Outputs of scripts are attributes and can be long.
const MAX_PIECE_BYTES: usize = 4 << 20;
const MAX_DEPTH: usize = 64;
const MAX_ATTRIBUTES: usize = 64;

/// Why reading stopped before the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the output is empty")]
    Empty,
    #[error("the output is not a report of this tool")]
    Foreign,
    #[error("the output breaks off before its end")]
    BrokeOff,
    #[error("the output is not well-formed at byte {position}")]
    Syntax { position: u64 },
    #[error("the output could not be read, or holds a piece of more than 4 MiB, at byte {position}")]
    Unreadable { position: u64 },
    #[error("the output declares or uses entities")]
    Entities,
    #[error("the output is nested deeper than 64 elements")]
    TooDeep,
    #[error("the output goes on after its end")]
    Trailing,
}

impl Fault {
    /// Whether the input is no report at all, or is hostile; everything else is a report that is not whole.
    pub(crate) const fn is_refusal(&self) -> bool {
        match self {
            Self::Empty | Self::Foreign | Self::Entities | Self::TooDeep => true,
            Self::BrokeOff | Self::Syntax { .. } | Self::Unreadable { .. } | Self::Trailing => false,
        }
    }
}

/// The elements of one kind of document that mean something to us; [`tags!`] makes one.
pub(crate) trait Tag: Copy + PartialEq {
    /// Every element that is not listed.
    const OTHER: Self;

    /// The element of that name.
    fn of(name: &str) -> Self;
}

/// Makes a [`Tag`] of a list of elements.
macro_rules! tags {
    ($($tag:ident = $name:literal,)*) => {
        /// The elements that mean something to us.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Tag {
            $(#[doc = $name] $tag,)*
            /// Any other element.
            Other,
        }

        impl crate::xml::Tag for Tag {
            const OTHER: Self = Self::Other;

            fn of(name: &str) -> Self {
                match name {
                    $($name => Self::$tag,)*
                    _ => Self::Other,
                }
            }
        }
    };
}
pub(crate) use tags;

/// What a document must begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Root<T: 'static> {
    /// The root elements that it may have.
    pub(crate) tags: &'static [T],
    /// The names behind `<!DOCTYPE` that tools print by themselves.
    pub(crate) doctypes: &'static [&'static str],
}

/// What hears the pieces.
pub(crate) trait Handler<T> {
    /// An element begins inside `parent`.
    fn open(&mut self, tag: T, parent: T, attributes: &Attributes<'_>);
    /// Text inside the innermost element.
    fn text(&mut self, inside: T, text: &str);
    /// An element ends inside `parent`.
    fn close(&mut self, tag: T, parent: T);
}

/// The attributes of one element.
pub(crate) struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// Calls `each` with every attribute's name and value, its references resolved. One that cannot be resolved is left out.
    pub(crate) fn each(&self, mut each: impl FnMut(&str, &str)) {
        let mut attributes = self.0.attributes();
        let attributes = attributes.with_checks(false).take(MAX_ATTRIBUTES).filter_map(Result::ok);
        for attribute in attributes {
            if let Ok(value) = attribute.normalized_value(XmlVersion::Implicit1_0) {
                each(attribute.key.0, &value);
            }
        }
    }
}

/// Reads a whole document.
pub(crate) fn read<T: Tag>(input: &mut dyn BufRead, root: Root<T>, handler: &mut dyn Handler<T>) -> Result<(), Fault> {
    let mut reader = Reader::from_reader(Bounded { inner: input, left: MAX_PIECE_BYTES });
    let mut walk = Walk { root, path: Vec::new(), is_begun: false, is_ended: false };
    let mut buffer = Vec::new();
    loop {
        reader.get_mut().left = MAX_PIECE_BYTES;
        buffer.clear();
        let event = match reader.read_event_into(&mut buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(_)) => return Err(Fault::Unreadable { position: reader.buffer_position() }),
            Err(error) => return Err(walk.fault(&error, reader.buffer_position())),
        };
        if matches!(event, Event::Eof) {
            return walk.end();
        }
        walk.step(&event, handler)?;
    }
}

/// Where we are in the document.
struct Walk<T: Tag + 'static> {
    root: Root<T>,
    path: Vec<T>,
    is_begun: bool,
    is_ended: bool,
}

impl<T: Tag> Walk<T> {
    fn step(&mut self, event: &Event<'_>, handler: &mut dyn Handler<T>) -> Result<(), Fault> {
        match event {
            Event::Start(start) => self.open(start, handler),
            Event::Empty(start) => {
                self.open(start, handler)?;
                self.close(handler);
                Ok(())
            }
            Event::End(_) => {
                self.close(handler);
                Ok(())
            }
            Event::Text(text) => self.text(text, handler),
            Event::CData(text) => self.text(text, handler),
            Event::GeneralRef(reference) => self.text(resolve(reference)?.encode_utf8(&mut [0; 4]), handler),
            // One with an internal subset could declare entities.
            Event::DocType(text) if !self.is_begun && is_plain_doctype(text, self.root.doctypes) => Ok(()),
            Event::DocType(_) => Err(Fault::Entities),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => Ok(()),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>, handler: &mut dyn Handler<T>) -> Result<(), Fault> {
        let tag = T::of(start.name().0);
        if self.is_ended {
            return Err(Fault::Trailing);
        }
        if self.path.is_empty() && !self.root.tags.contains(&tag) {
            return Err(Fault::Foreign);
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        handler.open(tag, self.parent(), &Attributes(start));
        self.path.push(tag);
        self.is_begun = true;
        Ok(())
    }

    fn close(&mut self, handler: &mut dyn Handler<T>) {
        if let Some(tag) = self.path.pop() {
            handler.close(tag, self.parent());
        }
        self.is_ended = self.path.is_empty();
    }

    fn text(&self, text: &str, handler: &mut dyn Handler<T>) -> Result<(), Fault> {
        match self.path.last() {
            Some(tag) => handler.text(*tag, text),
            // A byte order mark, and whatever a pipe printed before or after.
            None if text.trim_start_matches('\u{feff}').trim().is_empty() => {}
            None if self.is_ended => return Err(Fault::Trailing),
            None => return Err(Fault::Foreign),
        }
        Ok(())
    }

    fn parent(&self) -> T {
        self.path.last().copied().unwrap_or(T::OTHER)
    }

    fn end(&self) -> Result<(), Fault> {
        match (self.is_begun, self.is_ended) {
            (_, true) => Ok(()),
            (true, false) => Err(Fault::BrokeOff),
            (false, false) => Err(Fault::Empty),
        }
    }

    /// A tag that the end of the input cuts is output that broke off, and says so.
    const fn fault(&self, error: &quick_xml::Error, position: u64) -> Fault {
        if !self.is_begun {
            Fault::Foreign
        } else if matches!(error, quick_xml::Error::Syntax(_)) {
            Fault::BrokeOff
        } else {
            Fault::Syntax { position }
        }
    }
}

/// `NAME`, `NAME SYSTEM "…"` or `NAME PUBLIC "…" "…"`: nothing is ever fetched. One with a part in brackets could declare
/// entities, whatever its name is.
fn is_plain_doctype(text: &str, names: &[&str]) -> bool {
    let text = text.trim();
    let (name, rest) = text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, ""));
    let rest = rest.trim();
    let (word, places) = rest.split_at_checked(6).unwrap_or((rest, ""));
    let most = match word {
        "" => 0,
        "SYSTEM" => 1,
        "PUBLIC" => 2,
        _ => return false,
    };
    names.contains(&name)
        && !text.contains(['[', ']', '<', '%'])
        && literals(places).is_some_and(|count| count <= most && (most == 0 || count > 0))
}

/// How many texts in quotes there are, when there is nothing else.
fn literals(text: &str) -> Option<u32> {
    let (mut rest, mut count) = (text.trim(), 0_u32);
    while let Some(quote) = rest.chars().next() {
        let behind = rest.strip_prefix(quote).filter(|_| matches!(quote, '"' | '\''))?;
        rest = behind.split_once(quote)?.1.trim_start();
        count = count.saturating_add(1);
    }
    Some(count)
}

/// One of the five entities of XML, or a character by its number.
fn resolve(reference: &BytesRef<'_>) -> Result<char, Fault> {
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character),
        Ok(None) => match &**reference {
            "amp" => Ok('&'),
            "lt" => Ok('<'),
            "gt" => Ok('>'),
            "quot" => Ok('"'),
            "apos" => Ok('\''),
            _ => Err(Fault::Entities),
        },
        Err(_) => Err(Fault::Entities),
    }
}

/// A reader that gives at most `left` bytes until it is told that the next piece begins.
struct Bounded<'a> {
    inner: &'a mut dyn BufRead,
    left: usize,
}

impl Read for Bounded<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let taken = self.fill_buf()?.read(target)?;
        self.consume(taken);
        Ok(taken)
    }
}

impl BufRead for Bounded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a piece is larger than 4 MiB"));
        }
        let available = self.inner.fill_buf()?;
        Ok(available.get(..self.left).unwrap_or(available))
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_type_names_itself_and_declares_nothing() {
        let is_plain = |text| is_plain_doctype(text, &["nmaprun"]);
        for text in [
            "nmaprun",
            " nmaprun SYSTEM \"docs/nikto.dtd\" ",
            "nmaprun SYSTEM '/opt/x.dtd'",
            "nmaprun PUBLIC \"-//X//EN\" \"http://192.0.2.1/x.dtd\"",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "",
            "html",
            "nmaprun []",
            "nmaprun SYSTEM",
            "nmaprun SYSTEM \"a\" \"b\"",
            "nmaprun SYSTEM \"a\" [<!ENTITY a 'b'>]",
            "nmaprun SYSTEM \"a",
            "nmaprun \"a\"",
            "nmaprun x",
            "nmaprunx",
            "nmaprun PUBLIC \"a\" %b;",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }
}
