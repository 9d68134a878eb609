//! Reports of any length that are never in memory: a head, one piece again and again, a tail.

use std::io::{self, Read};

/// Stands for the number of the repetition.
pub(crate) const NUMBER: &str = "@N@";
/// Pieces without a number are copied in blocks of about so many bytes.
const BLOCK_BYTES: usize = 32 << 10;

/// A report that is written while it is read.
pub(crate) struct Endless<'a> {
    recipe: &'a Recipe,
    /// What is given next, from `at`.
    ready: Vec<u8>,
    at: usize,
    /// Bytes of repetitions so far.
    repeated: usize,
    count: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Pieces,
    Ended,
}

/// What a report is made of.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) head: Vec<u8>,
    pub(crate) piece: String,
    pub(crate) tail: Vec<u8>,
    /// Bytes that the pieces come to.
    pub(crate) bytes: usize,
}

impl Recipe {
    /// The report.
    pub(crate) fn open(&self) -> Endless<'_> {
        Endless { recipe: self, ready: Vec::new(), at: 0, repeated: 0, count: 0, state: State::Head }
    }
}

impl Endless<'_> {
    fn refill(&mut self) {
        self.ready.clear();
        self.at = 0;
        match self.state {
            State::Head => {
                self.ready.extend_from_slice(&self.recipe.head);
                self.state = State::Pieces;
            }
            State::Pieces if self.repeated < self.recipe.bytes => self.repeat(),
            State::Pieces => {
                self.ready.extend_from_slice(&self.recipe.tail);
                self.state = State::Ended;
            }
            State::Ended => {}
        }
    }

    fn repeat(&mut self) {
        let (piece, is_numbered) = (&self.recipe.piece, self.recipe.piece.contains(NUMBER));
        while self.ready.len() < BLOCK_BYTES && self.repeated + self.ready.len() < self.recipe.bytes {
            if is_numbered {
                self.ready.extend_from_slice(piece.replace(NUMBER, &self.count.to_string()).as_bytes());
            } else {
                self.ready.extend_from_slice(piece.as_bytes());
            }
            self.count += 1;
        }
        self.repeated += self.ready.len();
    }
}

impl Read for Endless<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        // An empty head is no end.
        while self.at == self.ready.len() && self.state != State::Ended {
            self.refill();
        }
        let count = target.len().min(self.ready.len() - self.at);
        target[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
