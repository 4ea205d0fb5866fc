//! Rows: of what a gateway's configuration is made.

use super::KEY;
use crate::input::InputType;
use crate::key::{ContextKey, KeyQuestion, KeyReaders};

/// Gives the zone: its name, its prefixes, how it becomes a member.
pub const INVITATION: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_INVITATION",
    input: InputType::Password,
    question: KeyQuestion::MandatoryInService(
        "Invitation of this zone; in the founding zone its founding bundle",
    ),
    default: "required, or `ONEAPP_ZONEMESH_CONFIG`",
    meaning: "the zone's invitation, in the founding zone the founding bundle: the configuration and the way into the mesh follow from it; secret",
    expected: "the one line that `zonemesh mesh init --out`, or `zonemesh zone invite --out`, has written for this zone",
    example: "em9uZW1lc2gtaW52aXRhdGlvbi0x....",
    secret: true,
    ..OF_GATEWAY
};
/// Where other zones call.
pub const ENDPOINT: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_ENDPOINT",
    question: KeyQuestion::Optional(
        "Where other zones reach this gateway (empty: a public address of a NIC)",
    ),
    default: "a public address of a NIC, else one that OneGate knows",
    meaning: "where other zones reach this gateway: IP, NAME, IP:PORT or NAME:PORT; several with spaces or commas between",
    expected: "addresses or names, each with or without a port, and spaces or commas between",
    example: "203.0.113.1:51820",
    ..OF_GATEWAY
};
/// Where the VMs of the zone call.
pub const LISTEN: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_LISTEN",
    question: KeyQuestion::Image("Where the local API listens (empty: the address in the zone)"),
    default: "this VM's address in the zone, port 51822",
    meaning: "where the local API listens: IP or IP:PORT; `0.0.0.0` and `[::]` for all addresses",
    expected: "IP or IP:PORT of this VM, or 0.0.0.0 or [::]",
    example: "0.0.0.0:51822",
    ..OF_GATEWAY
};
/// Gives everything.
pub const CONFIG: ContextKey = ContextKey {
    name: "ONEAPP_ZONEMESH_CONFIG",
    input: InputType::Text64,
    question: KeyQuestion::Image("Instead of the other three: all of zonemesh.toml"),
    meaning: "instead of the other three: all of `zonemesh.toml`, as it is or in base64 (an input of type text64 encodes by itself); secret",
    expected: "the text of zonemesh.toml, as it is or encoded once (base64 -w0)",
    example: "W3pvbmVdCm5hbWUgPSAiYmVybGluIgo....",
    secret: true,
    since: "0.1.0",
    ..OF_GATEWAY
};

const OF_GATEWAY: ContextKey = ContextKey { readers: KeyReaders::Gateway, since: "0.2.0", ..KEY };
