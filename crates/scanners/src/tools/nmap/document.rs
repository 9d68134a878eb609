//! nmap's XML, one piece at a time. No entity is ever expanded but the five of XML itself, no piece is larger than
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
pub(super) enum Fault {
    #[error("the output is empty")]
    Empty,
    #[error("the output is not an nmap report")]
    NotNmap,
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

macro_rules! tags {
    ($($tag:ident = $name:literal,)*) => {
        /// The elements that mean something to us (nmap.dtd).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Tag {
            $(#[doc = $name] $tag,)*
            /// Any other element.
            Other,
        }

        impl Tag {
            fn of(name: &str) -> Self {
                match name {
                    $($name => Self::$tag,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

tags! {
    Run = "nmaprun",
    Host = "host",
    Status = "status",
    Address = "address",
    Ports = "ports",
    Port = "port",
    State = "state",
    Service = "service",
    Cpe = "cpe",
    HostScript = "hostscript",
    Script = "script",
    Table = "table",
    Elem = "elem",
    Os = "os",
    OsMatch = "osmatch",
    RunStats = "runstats",
    Finished = "finished",
}

/// What hears the pieces.
pub(super) trait Handler {
    /// An element begins inside `parent`.
    fn open(&mut self, tag: Tag, parent: Tag, attributes: &Attributes<'_>);
    /// Text inside the innermost element.
    fn text(&mut self, inside: Tag, text: &str);
    /// An element ends inside `parent`.
    fn close(&mut self, tag: Tag, parent: Tag);
}

/// The attributes of one element.
pub(super) struct Attributes<'a>(&'a BytesStart<'a>);

impl Attributes<'_> {
    /// Calls `each` with every attribute's name and value, its references resolved. One that cannot be resolved is left out.
    pub(super) fn each(&self, mut each: impl FnMut(&str, &str)) {
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
pub(super) fn read(input: &mut dyn BufRead, handler: &mut dyn Handler) -> Result<(), Fault> {
    let mut reader = Reader::from_reader(Bounded { inner: input, left: MAX_PIECE_BYTES });
    let mut walk = Walk { path: Vec::new(), is_begun: false, is_ended: false };
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
struct Walk {
    path: Vec<Tag>,
    is_begun: bool,
    is_ended: bool,
}

impl Walk {
    fn step(&mut self, event: &Event<'_>, handler: &mut dyn Handler) -> Result<(), Fault> {
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
            // nmap itself prints `<!DOCTYPE nmaprun>`; one with an internal subset could declare entities.
            Event::DocType(text) if text.trim() == "nmaprun" && !self.is_begun => Ok(()),
            Event::DocType(_) => Err(Fault::Entities),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Eof => Ok(()),
        }
    }

    fn open(&mut self, start: &BytesStart<'_>, handler: &mut dyn Handler) -> Result<(), Fault> {
        let tag = Tag::of(start.name().0);
        if self.is_ended {
            return Err(Fault::Trailing);
        }
        if self.path.is_empty() && tag != Tag::Run {
            return Err(Fault::NotNmap);
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(Fault::TooDeep);
        }
        handler.open(tag, self.parent(), &Attributes(start));
        self.path.push(tag);
        self.is_begun = true;
        Ok(())
    }

    fn close(&mut self, handler: &mut dyn Handler) {
        if let Some(tag) = self.path.pop() {
            handler.close(tag, self.parent());
        }
        self.is_ended = self.path.is_empty();
    }

    fn text(&self, text: &str, handler: &mut dyn Handler) -> Result<(), Fault> {
        match self.path.last() {
            Some(tag) => handler.text(*tag, text),
            // A byte order mark, and whatever a pipe printed before or after.
            None if text.trim_start_matches('\u{feff}').trim().is_empty() => {}
            None if self.is_ended => return Err(Fault::Trailing),
            None => return Err(Fault::NotNmap),
        }
        Ok(())
    }

    fn parent(&self) -> Tag {
        self.path.last().copied().unwrap_or(Tag::Other)
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
            Fault::NotNmap
        } else if matches!(error, quick_xml::Error::Syntax(_)) {
            Fault::BrokeOff
        } else {
            Fault::Syntax { position }
        }
    }
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
