//! The top floor: what others see of this gateway and may ask of it.
//!
//! The only place that knows wire types and `tonic::Status`.

pub(crate) mod admin;
pub(crate) mod health;
mod http;
mod join;
mod listen;
pub(crate) mod local_api;
pub(crate) mod manager;
mod onegate_view;
pub(crate) mod registry;
mod snapshot;
pub(crate) mod sources;
pub(crate) mod start;
mod status;
pub(crate) mod wg;
