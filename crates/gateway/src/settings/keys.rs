//! The table of the keys that `zonemesh-gateway` reads.
//!
//! A new key is a row here and its use in `settings`; docs/REFERENCE.md has the same rows, which a
//! test holds against these.

use zonemesh_context::source::{ContextKey, KeyReaders};

/// Gives the zone: its name, its prefixes, how it becomes a member.
pub(crate) const INVITATION: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_INVITATION",
    readers: KeyReaders::Gateway,
    default: "required, or `ONEAPP_ZONEMESH_CONFIG`",
    meaning: "the zone's invitation, in the founding zone the founding bundle: the configuration and the way into the mesh follow from it; secret",
    expected: "the one line that `zonemesh mesh init --out`, or `zonemesh zone invite --out`, has written for this zone",
    example: "em9uZW1lc2gtaW52aXRhdGlvbi0x....",
    secret: true,
};
/// The same key, where what it gives does not fit this VM.
pub(crate) const INVITATION_HERE: ContextKey = ContextKey {
    expected: "an invitation whose prefixes are those of this VM's networks, or a VM with a NIC in the zone's network",
    ..INVITATION
};
/// Where other zones call.
pub(crate) const ENDPOINT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_ENDPOINT",
    readers: KeyReaders::Gateway,
    default: "a public address of a NIC, else one that OneGate knows",
    meaning: "where other zones reach this gateway: IP, NAME, IP:PORT or NAME:PORT; several with spaces or commas between",
    expected: "addresses or names, each with or without a port, and spaces or commas between",
    example: "203.0.113.1:51820",
    secret: false,
};
/// Where the VMs of the zone call.
pub(crate) const LISTEN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_LISTEN",
    readers: KeyReaders::Gateway,
    default: "this VM's address in the zone, port 51822",
    meaning: "where the local API listens: IP or IP:PORT; `0.0.0.0` and `[::]` for all addresses",
    expected: "IP or IP:PORT of this VM, or 0.0.0.0 or [::]",
    example: "0.0.0.0:51822",
    secret: false,
};
/// Gives everything.
pub(crate) const CONFIG: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_CONFIG",
    readers: KeyReaders::Gateway,
    default: "none",
    meaning: "instead of the other three: all of `zonemesh.toml`, as it is or in base64 (an input of type text64 encodes by itself); secret",
    expected: "the text of zonemesh.toml, as it is or encoded once (base64 -w0)",
    example: "W3pvbmVdCm5hbWUgPSAiYmVybGluIgo....",
    secret: true,
};

/// The table, in the order of the documents.
pub(crate) const KEYS: [ContextKey; 4] = [INVITATION, ENDPOINT, LISTEN, CONFIG];

/// What is wrong where nothing gives a configuration.
pub(crate) const NOTHING_GIVEN: &str =
    "is not set, nor is ONEAPP_ZONEMESH_CONFIG, and there is no configuration file";
