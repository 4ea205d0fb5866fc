//! The pure heart of Zonemesh: names, keys, prefixes, signed records, the registry state machine.
//!
//! Promises: no socket, file, clock, thread or async runtime; `now` and bytes come in as arguments
//! and decisions go out as values. Refuses to know how records travel (`zonemesh-api`), where they
//! are kept (`zonemeshd`) and how packets move (`zonemesh-tunnel`).

pub mod attestation;
pub mod companion;
pub mod exit;
pub mod finding;
pub mod founding;
pub mod gateway;
pub mod invitation;
pub mod journal;
pub mod keepalive;
pub mod kernel;
pub mod key;
pub mod member;
pub mod membership;
pub mod mesh;
pub mod name;
pub mod neighbours;
pub mod not_base64;
pub mod offered;
pub mod pace;
pub mod path;
pub mod prefix;
pub mod record;
pub mod registry;
pub mod replication;
pub mod suggestion;
pub mod time;
pub mod token;
pub mod visible;
