//! The CONTEXT of an appliance's VM: how it is read, and one table of its keys.
//!
//! It promises that nothing here evaluates a context, that no message repeats a secret, and that
//! programs, documents, images and service templates take a key from the same row. It refuses to
//! know what a program does with a value. Whoever writes templates for these VMs needs this crate
//! and nothing of the programs in them. Specification: docs/REFERENCE.md, CONTEXT keys.

mod help;
mod image;
pub mod input;
pub mod key;
pub mod keys;
pub mod names;
pub mod source;
pub mod values;
pub mod variables;

pub use help::{SETTINGS, help};
pub use image::Image;
pub use key::{Appliance, ContextKey, KeyReaders};
pub use variables::{SettingError, SettingsErrors, Variables};
