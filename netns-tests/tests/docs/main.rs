//! The documents keep their promises: what they name exists, and what exists is named.
//!
//! Reads documents and sources as text, so it needs neither binaries nor root. The commands in the
//! documents are run by `documented_commands.rs` and `quick_start.rs`, which are scenarios.

mod codes;
mod fuzz;
mod links;
mod markdown;
mod reference;
mod security;
mod shapes;
mod sources;
