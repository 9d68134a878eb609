//! Messages and attributes: length, kind, value, each padded to four bytes (`linux/netlink.h`).

use std::io;

/// The kernel answers whether it did it.
const ACK: u16 = 4;
/// Refuses what is there already.
pub(crate) const EXCLUSIVE: u16 = 0x200;
/// All objects of a kind.
pub(crate) const DUMP: u16 = 0x300;
/// Makes what is missing.
pub(crate) const CREATE: u16 = 0x400;
/// At the end of a list.
pub(crate) const APPEND: u16 = 0x800;
const REQUEST: u16 = 1;
/// Marks an attribute that holds attributes.
pub(crate) const NESTED: u16 = 0x8000;
const HEADER: usize = 16;

/// A list of attributes. A value that is too long for its attribute spoils the message that it is sent in.
#[derive(Debug, Default)]
pub(crate) struct Attributes {
    bytes: Vec<u8>,
    spoiled: bool,
}

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a value as it is.
    pub(crate) fn put(mut self, kind: u16, value: &[u8]) -> Self {
        match u16::try_from(value.len() + 4) {
            Ok(length) => {
                self.bytes.extend_from_slice(&length.to_ne_bytes());
                self.bytes.extend_from_slice(&kind.to_ne_bytes());
                self.bytes.extend_from_slice(value);
                pad(&mut self.bytes);
            }
            Err(_) => self.spoiled = true,
        }
        self
    }

    /// Adds a list inside of this one.
    pub(crate) fn nest(self, kind: u16, inner: Self) -> Self {
        let spoiled = inner.spoiled;
        let mut outer = self.put(kind | NESTED, &inner.bytes);
        outer.spoiled |= spoiled;
        outer
    }

    /// Adds a number in the order of the network, as the packet filter wants them.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds a long number in the order of the network.
    pub(crate) fn be64(self, kind: u16, value: u64) -> Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Adds a number in the order of the machine, as links and routes want them.
    pub(crate) fn ne32(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Adds a text with the zero that ends it.
    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        self.put(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds another list behind this one.
    pub(crate) fn append(mut self, other: &Self) -> Self {
        self.bytes.extend_from_slice(&other.bytes);
        self.spoiled |= other.spoiled;
        self
    }

    /// The bytes behind a header of the caller's, for values that begin with a structure.
    pub(crate) fn behind(&self, header: &[u8]) -> Vec<u8> {
        [header, &self.bytes].concat()
    }
}

/// One request.
#[derive(Debug)]
pub(crate) struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
    spoiled: bool,
}

impl Message {
    /// A request of `kind`, whose body begins with the structure `header`.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8], attributes: &Attributes) -> Self {
        let mut body = header.to_vec();
        pad(&mut body);
        body.extend_from_slice(&attributes.bytes);
        Self { kind, flags: flags | REQUEST, body, spoiled: attributes.spoiled }
    }

    /// The same, and the kernel says when it is done.
    pub(crate) const fn acknowledged(mut self) -> Self {
        self.flags |= ACK;
        self
    }

    pub(crate) const fn is_dump(&self) -> bool {
        self.flags & DUMP == DUMP
    }

    /// Appends the message to what is sent.
    pub(crate) fn write(&self, sequence: u32, to: &mut Vec<u8>) -> io::Result<()> {
        let length = u32::try_from(HEADER + self.body.len()).ok().filter(|_| !self.spoiled);
        let length = length.ok_or_else(|| io::Error::other("a netlink attribute is too long"))?;
        to.extend_from_slice(&length.to_ne_bytes());
        to.extend_from_slice(&self.kind.to_ne_bytes());
        to.extend_from_slice(&self.flags.to_ne_bytes());
        to.extend_from_slice(&sequence.to_ne_bytes());
        to.extend_from_slice(&0_u32.to_ne_bytes());
        to.extend_from_slice(&self.body);
        pad(to);
        Ok(())
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// The value of the first attribute of `kind` in a list that the kernel sent.
pub(crate) fn attribute(mut list: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(list.first_chunk::<2>().copied()?));
        let found = u16::from_ne_bytes(list.get(2..4)?.try_into().ok()?);
        let value = list.get(4..length)?;
        // The two highest bits say how the value is written.
        if found & 0x3fff == kind {
            return Some(value);
        }
        list = list.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_padded_and_its_length_is_not() {
        let list = Attributes::new().put(7, b"abcde").put(8, b"");
        assert_eq!(list.bytes.len(), 12 + 4);
        assert_eq!(attribute(&list.bytes, 7), Some(&b"abcde"[..]));
        assert_eq!(attribute(&list.bytes, 8), Some(&b""[..]));
        assert_eq!(attribute(&list.bytes, 9), None);
    }

    #[test]
    fn a_nested_list_is_read_again() {
        let list = Attributes::new().nest(1, Attributes::new().be32(2, 0x0102_0304).text(3, "vg7"));
        let inner = attribute(&list.bytes, 1).unwrap();
        assert_eq!(attribute(inner, 2), Some(&[1, 2, 3, 4][..]));
        assert_eq!(attribute(inner, 3), Some(&b"vg7\0"[..]));
    }

    #[test]
    fn a_value_too_long_for_its_attribute_spoils_the_message_from_any_depth() {
        let long = Attributes::new().put(1, &vec![0; 65_532]);
        let message = Message::new(1, 0, &[], &Attributes::new().nest(2, Attributes::new().nest(3, long)));
        assert!(message.write(1, &mut Vec::new()).is_err());
        let fits = Message::new(1, 0, &[], &Attributes::new().put(1, &vec![0; 65_531]));
        assert!(fits.write(1, &mut Vec::new()).is_ok());
    }

    #[test]
    fn any_bytes_are_searched_without_a_panic() {
        for length in 0..40_u16 {
            for claimed in 0..40_u16 {
                let mut bytes = vec![0; usize::from(length)];
                if let Some(start) = bytes.get_mut(..2) {
                    start.copy_from_slice(&claimed.to_ne_bytes());
                }
                let _ = attribute(&bytes, 5);
            }
        }
    }

    #[test]
    fn a_message_says_how_long_it_is() {
        let mut bytes = Vec::new();
        Message::new(16, CREATE, &[9], &Attributes::new().be32(1, 5)).acknowledged().write(3, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 16 + 4 + 8);
        assert_eq!(bytes[..4], 28_u32.to_ne_bytes());
        assert_eq!(bytes[6..8], (1 | ACK | CREATE).to_ne_bytes());
    }
}
