//! The documents keep their promises: what they name exists, and what exists is named.
//!
//! Reads documents and sources as text, so it needs neither binaries nor root.

mod codes;
mod markdown;
mod reference;
mod security;
mod shapes;
mod sources;
