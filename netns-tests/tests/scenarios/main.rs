//! Scenarios over the real binaries, one file each, its topology drawn on top, grouped by subject.
//!
//! Not part of plain `cargo test` (`test = false` in Cargo.toml): they need namespaces, the built
//! binaries and Flower. `make test` brings all three and runs them with nextest's `scenarios` profile.

mod companions;
mod membership;
mod operations;
mod registry;
mod security;
mod tool;
mod tunnel;
