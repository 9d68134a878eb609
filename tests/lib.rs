//! Tests of the workspace as a whole; no code of its own.
