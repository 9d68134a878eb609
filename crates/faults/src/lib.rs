//! Places at which a test may end a process, hold it up, or take a safeguard out (`docs/faults.md`). Without the feature
//! `failpoints` every function here is empty and constant, so that the product pays nothing. It must never be turned on by
//! a crate of the product, and it knows no other crate.

mod places;

pub use places::{LOOPS, PLACES, TWINS};

#[cfg(feature = "failpoints")]
mod armed;
#[cfg(feature = "failpoints")]
pub use armed::{arm, point, skew_seconds, without};

/// Reads what the environment variable `FAILPOINTS` asks for. Empty in the product.
#[cfg(not(feature = "failpoints"))]
pub const fn arm() {}

/// A place where a test may end or hold up this process. Empty in the product.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub const fn point(_place: &'static str) {}

/// How many seconds a test has put this process's clock forward; 0 in the product.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[must_use]
pub const fn skew_seconds() -> i64 {
    0
}

/// Whether a test has taken this safeguard out; never in the product.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
#[must_use]
pub const fn without(_twin: &'static str) -> bool {
    false
}
