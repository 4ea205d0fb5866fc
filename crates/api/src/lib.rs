//! How Zonemesh's processes speak with each other: protobuf files, generated code, conversions
//! between wire and core, what surfaces show of it, client connections, and the accept loop of TLS
//! servers.
//!
//! Promises: one place converts ([`wire`]), with errors that name the field; one place gives what is
//! shown its JSON ([`view`]); every connection has the keepalive of `zonemesh_core::keepalive`.
//! Refuses to know what the answers are: services are the daemon's. Specification: `proto/*.proto`.

pub mod clients;
pub mod crowd;
pub mod exchange;
pub mod keepalive;
mod said;
pub mod serve;
pub mod view;
pub mod wire;

/// Generated from `proto/*.proto` (`make generate`): messages, clients and servers of `zonemesh.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]
pub mod v1 {
    include!("generated/zonemesh.v1.rs");
}

/// Generated from `proto/etcd.proto` (`make generate`): the part of etcd's v3 API that is used.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]
pub(crate) mod etcd {
    include!("generated/etcdserverpb.rs");
}
