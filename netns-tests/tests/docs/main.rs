//! The documents keep their promises: what they name exists, and what exists is named.
//!
//! Reads documents and sources as text, so it needs neither binaries nor root. The commands in the
//! documents are run by scenarios (`operations::documented_commands`, `operations::quick_start`).

mod codes;
mod fuzz;
mod inputs;
mod links;
mod logs;
mod reference;
mod security;
mod shapes;
mod sources;
