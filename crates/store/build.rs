//! Tells cargo that the migrations are part of this crate: they are embedded, and cargo would not see them change.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations");
}
