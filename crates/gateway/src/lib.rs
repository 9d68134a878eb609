//! The public face of Picket: HTTP in, domain in the middle, store below. It accepts and shows; it never publishes a
//! message, never runs a tool, and speaks to nobody but Postgres, Redis and the object store on behalf of a request.
//!
//! The way of a request: `front` names it (request id, trace), rewrites its path to the one form that routes know, finds
//! its route in the table made from the OpenAPI document (404 and 405 end here), identifies the caller, counts it against
//! a rate limit, and hands it to a handler. Handlers are in `routes/`, one file per group; what goes wrong anywhere
//! becomes an answer in `problem.rs` and nowhere else.
//!
//! To add an endpoint: the handler with its `#[utoipa::path]` in `routes/<group>.rs`, its line in that file's
//! `configure`, and its row in `tests/api/authorization.rs` (a test fails without).

mod access;
mod app;
mod backup_code;
mod body;
mod caller;
mod confirm;
mod context;
mod crypto;
mod documentation;
mod error;
mod factor;
mod front;
mod html;
mod id;
mod idempotency;
mod identify;
mod imports;
mod key_text;
mod links;
mod mailbox;
mod mailed_tokens;
mod oauth;
mod paging;
mod passwords;
mod pictures;
mod problem;
mod proof_text;
mod query;
mod ranges;
mod refresh_cookie;
mod route_table;
mod routes;
mod server;
mod settings;
mod sign_in;
mod signed_links;
mod streams;
mod text;
mod throttle;
mod token_text;
mod tokens;
mod totp;

pub use app::{App, AppParts};
pub use body::{Body, OptionalBody};
pub use caller::{Caller, Subject};
pub use context::RequestContext;
pub use documentation::openapi;
pub use error::GatewayError;
pub use id::Id;
pub use links::origin;
pub use oauth::{GithubSettings, OAuthSettings, OpenIdSettings};
pub use paging::{Listed, Page, PageQuery, V1Page, V2Page};
pub use pictures::decode_picture_main;
pub use problem::{FieldError, Problem, ProblemCode, ProblemView};
pub use query::Query;
pub use routes::platform::ComponentsView;
pub use server::{Gateway, run};
pub use settings::{GatewaySettings, TlsSettings};
pub use tokens::generate_signing_key;
