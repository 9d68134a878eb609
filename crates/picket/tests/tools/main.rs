//! Real tools in their real roots, through the sandbox, against services of the test on loopback. Each is skipped with a
//! message where `PICKET_TOOLS_ROOT` holds no root of it.

mod hostile;
mod levels;
mod node;
mod o3;
mod room;
mod services;
mod shop;
mod tls;
mod web;
