//! The shape of the house: circles between modules, floors of the daemon, names and signatures, and the
//! room that scenarios have.
//!
//! Reads the sources of the workspace with `syn`, so it needs neither binaries nor root. Which crate
//! may depend on which is held by `layering.rs`; the reasons stand in docs/DEVELOPMENT.md.

mod floors;
mod map;
mod modules;
mod names;
mod paths;
mod signatures;
mod sources;
mod weights;
