//! The CONTEXT of an appliance's VM: where its values stand, and what is wrong with them.
//!
//! It promises that nothing here evaluates a context, and that no message repeats a secret. It
//! refuses to know what a program does with a value: that is the program's. Whoever writes templates
//! for these VMs needs this crate and nothing of the programs in them.
//! Specification: docs/REFERENCE.md, CONTEXT keys.

pub mod source;
