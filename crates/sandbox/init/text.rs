//! Arguments and numbers as text, without allocation.

use crate::kernel::say;

/// The words this program was called with, and where the environment begins.
pub struct Arguments {
    count: usize,
    first: *const *const u8,
}

impl Arguments {
    /// # Safety
    /// `stack` must be the stack of a program that has just begun.
    pub unsafe fn of(stack: *const usize) -> Self {
        // SAFETY: the kernel puts the count there, and the addresses behind it.
        unsafe { Self { count: *stack, first: stack.add(1).cast() } }
    }

    /// The address of the word, which ends with zero.
    pub fn address(&self, at: usize) -> Option<*const u8> {
        // SAFETY: the kernel put `count` addresses there.
        (at < self.count).then(|| unsafe { *self.first.add(at) })
    }

    /// The word without the zero at its end.
    pub fn bytes(&self, at: usize) -> Option<&[u8]> {
        let address = self.address(at)?;
        // SAFETY: the kernel ends every word with a zero, and nobody changes them.
        unsafe {
            let mut length = 0;
            while *address.add(length) != 0 {
                length += 1;
            }
            Some(core::slice::from_raw_parts(address, length))
        }
    }

    /// The addresses from this word on, ended by null: the list for another program.
    pub fn rest(&self, at: usize) -> *const *const u8 {
        // SAFETY: up to and including the null at the end the list is the kernel's.
        unsafe { self.first.add(at.min(self.count)) }
    }

    /// The environment, ended by null.
    pub fn environment(&self) -> *const *const u8 {
        // SAFETY: it begins behind the null that ends the arguments.
        unsafe { self.first.add(self.count + 1) }
    }
}

/// A number in decimal.
pub fn number(text: &[u8]) -> Option<u64> {
    let digit = |sum: u64, letter: &u8| match letter {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(letter - b'0')),
        _ => None,
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, digit) }
}

/// An address as hexadecimal digits, 8 for IPv4 and 32 for IPv6.
pub fn address(text: &[u8]) -> Option<([u8; 16], usize)> {
    let nibble = |letter: u8| match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? * 16 + nibble(*low)?;
    }
    matches!(text.len(), 8 | 32).then_some((bytes, text.len() / 2))
}

/// Prints a number that is not negative, in decimal.
pub fn print(mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        length += 1;
        if value == 0 {
            break;
        }
    }
    say(1, digits.get(20 - length..).unwrap_or_default());
}
