//! The only way out: every HTTP call and every DNS question of Picket goes through here, and through one guard.
//!
//! A URL is a customer's, so it may point anywhere, also at us. The order of a call is fixed and no step can be left out:
//! check the URL, resolve its host with our own resolver, classify **every** address of the answer, connect to one of
//! exactly those addresses, check whom we reached, and only then speak. Redirects are answers like others, proxies of the
//! environment do not exist, bodies and headers are bounded, answers are never decompressed, and one deadline covers it
//! all. What a customer is told of a failure is [`ErrorClass::text`], which names no address.
//!
//! The calls are made with `hyper` directly, because a client with a connection pool offers no place between connecting
//! and speaking.

mod certificate;
mod client;
mod dial;
mod error;
mod guard;
mod image;
mod resolver;
mod settings;

pub use certificate::certified_names;
pub use client::{Attempted, HttpClient, Limits, Method, Request, Response};
pub use error::{ErrorClass, OutboundError};
pub use guard::{Endpoint, Guard};
pub use image::{Image, ImageKind, LARGEST_IMAGE_BYTES};
pub use resolver::{LONGEST_TEXT_BYTES, Lookup, LookupFailed, MOST_ADDRESSES, MOST_ALIASES, MOST_TEXTS, Resolver};
pub use settings::OutboundSettings;
