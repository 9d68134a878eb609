//! The network of a run, held against a small Internet made of network namespaces. Every test runs again in namespaces of
//! its own, in which one stands for the host: the machine's own network is never touched. Where the machine has no
//! `unshare` or `ip`, or forbids namespaces, a test says so and is skipped.

mod confined;
mod connections;
mod doors;
mod egress;
mod everybody;
mod flush;
mod flushed;
mod frame;
mod helper;
mod inside;
mod lies;
mod loopback6;
mod probe;
mod refusals;
mod space;
mod speed;
mod stand_ins;
mod stray;
mod wires;
