//! Rows: what OpenNebula itself writes into a CONTEXT, and a companion reads.

use super::KEY;
use crate::key::{ContextKey, KeyReaders};

/// The VM's first address.
pub const ETH0_IP: ContextKey = ContextKey {
    name: "ETH0_IP",
    readers: KeyReaders::SuperLink,
    meaning: "OpenNebula's own: the address, if `ONEAPP_ZONEMESH_ADDRESS` is not given",
    expected: "the IP address of this VM's first interface",
    example: "10.10.10.5",
    restarts_flower: true,
    ..KEY
};
/// Where OneGate is.
pub const ONEGATE_ENDPOINT: ContextKey = ContextKey {
    name: "ONEGATE_ENDPOINT",
    meaning: "OpenNebula's own: with the next two, OneGate is told `READY=YES`, and asked for the gateway",
    example: "http://169.254.16.9:5030",
    ..ONEGATE
};
/// Which VM this is.
pub const VMID: ContextKey =
    ContextKey { name: "VMID", meaning: "OpenNebula's own", example: "7", ..ONEGATE };
/// What proves it to OneGate.
pub const TOKENTXT: ContextKey = ContextKey {
    name: "TOKENTXT",
    meaning: "OpenNebula's own: this VM's OneGate token; secret",
    example: "bXktdG9rZW4=",
    ..ONEGATE
};

const ONEGATE: ContextKey = ContextKey {
    readers: KeyReaders::All,
    expected: "what OpenNebula gives with TOKEN=YES, the token in /run/one-context/one_env",
    secret: true,
    ..KEY
};
