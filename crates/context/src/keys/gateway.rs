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
    meaning: "instead of all other keys of a gateway: all of `zonemesh.toml`, as it is or in base64 (an input of type text64 encodes by itself); secret",
    expected: "the text of zonemesh.toml, as it is or encoded once (base64 -w0)",
    example: "W3pvbmVdCm5hbWUgPSAiYmVybGluIgo....",
    secret: true,
    since: "0.1.0",
    ..OF_GATEWAY
};

/// Whose key a plain WireGuard peer has: with it there is one.
pub const WG_PEER_PUBLIC_KEY: ContextKey = ContextKey {
    name: "ONEAPP_WG_PEER_PUBLIC_KEY",
    meaning: "public key of a peer that runs plain WireGuard, without Zonemesh: with it the configuration has a `[[wireguard_peer]]`; a boot without it takes the peer away",
    expected: "a WireGuard public key, as `wg pubkey` prints it",
    example: "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
    ..OF_WG_PEER
};
/// Where it is.
pub const WG_PEER_ENDPOINT: ContextKey = ContextKey {
    name: "ONEAPP_WG_PEER_ENDPOINT",
    default: "none: it calls this gateway",
    meaning: "where that peer is; a name is looked up again and again",
    expected: "ADDRESS:PORT or NAME:PORT",
    example: "203.0.113.9:51820",
    ..OF_WG_PEER
};
/// What it has.
pub const WG_PEER_ALLOWED_IPS: ContextKey = ContextKey {
    name: "ONEAPP_WG_PEER_ALLOWED_IPS",
    default: "none, and required with `ONEAPP_WG_PEER_PUBLIC_KEY`",
    meaning: "what may come from that peer and is sent to it: its own addresses and the subnets behind it, with commas between",
    expected: "prefixes that are no zone's, with commas between",
    example: "10.10.20.0/24",
    ..OF_WG_PEER
};
/// What both sides know.
pub const WG_PEER_PRESHARED_KEY: ContextKey = ContextKey {
    name: "ONEAPP_WG_PEER_PRESHARED_KEY",
    input: InputType::Password,
    meaning: "a secret that both sides share, as `wg genpsk` writes it, kept in a file beside `zonemesh.toml` that the daemon alone reads; secret",
    expected: "what `wg genpsk` prints",
    example: "FpCyhws9cxwWoV4xELtfJvjJN+zQVRPISllRWgeopVE=",
    secret: true,
    ..OF_WG_PEER
};
/// How often something goes to it.
pub const WG_PEER_PERSISTENT_KEEPALIVE: ContextKey = ContextKey {
    name: "ONEAPP_WG_PEER_PERSISTENT_KEEPALIVE",
    input: InputType::Number,
    default: "off",
    meaning: "seconds of silence after which an empty packet goes to that peer, as WireGuard has it: 25 behind a NAT, 0 for none",
    expected: "a whole number from 0 to 65535",
    example: "25",
    ..OF_WG_PEER
};

const OF_WG_PEER: ContextKey = ContextKey { since: "0.3.0", ..OF_GATEWAY };
const OF_GATEWAY: ContextKey = ContextKey { readers: KeyReaders::Gateway, since: "0.2.0", ..KEY };
