//! What the fuzz targets of the control plane call: each parser with any bytes.
//!
//! Promises that a function here panics if, and only if, a parser breaks a promise: it panicked, or
//! what it took does not survive being written and read again. The data plane has the same in
//! `zonemesh_tunnel::fuzzing`. Refuses to know how inputs are found: `fuzz_targets/` has one line
//! for each, `seeds/` the inputs to begin with, `examples/seeds.rs` writes those that are binary.

pub mod control;
pub mod mesh;
pub mod text;
