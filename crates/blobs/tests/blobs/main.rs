//! The object store as its users see it.

#[cfg(test)]
mod folder;
