//! Joining: the service that invited zones call, and the call itself.

mod client;
mod server;

pub(crate) use client::{Joiner, Progress};
pub(crate) use server::{Listening, run as serve};
