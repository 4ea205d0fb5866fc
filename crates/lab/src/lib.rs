//! The Lab: OpenNebula zones made of network namespaces, and what is done to them.
//!
//! Owns namespaces, links, faults, captures, and the processes it starts in them. Promises that the
//! host's own network is never changed and that nothing outlives the Lab, whatever ends it.
//! Refuses to know anything inside the binaries: it sees their files, their output and the wire, and
//! depends on no other crate of ours.
//! Errors are `anyhow` here: the only callers are tests and binaries that print the chain once.

pub mod binaries;
pub mod capture;
pub mod catalogue;
pub mod conversation;
pub mod faults;
pub mod federation;
pub mod flower;
pub mod flows;
pub mod frame;
pub mod gateway;
pub mod lab;
pub mod mesh;
pub mod namespace;
pub mod packet;
pub mod pcap;
pub mod priority;
pub mod privilege;
pub mod process;
pub mod relay;
pub mod shipped_unit;
pub mod wait;
