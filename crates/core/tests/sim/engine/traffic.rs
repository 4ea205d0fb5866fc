//! Bytes on the wire: the protobuf form, and what carries it.

use zonemesh_core::replication::StreamBody;

/// gRPC 5, HTTP/2 9, TLS 22, TCP and IP 52, WireGuard, UDP and IP 60.
const PACKET_BYTES: u64 = 148;
/// TCP's acknowledgement.
const ACK_BYTES: u64 = 112;
/// TCP, mutual TLS 1.3 with small certificates, HTTP/2 settings; both ends.
pub(crate) const HANDSHAKE_BYTES: u64 = 6_000;
/// A ping of HTTP/2 and its answer, from both ends, each 60 s.
pub(crate) const PINGS_BYTES_PER_S: f64 = 4.0 * 170.0 / 60.0;

/// What a CA set adds to a small record of the simulator: 1 kB, which is 1350 characters in PEM.
const PADDING: usize = 1_000;
/// The clock of a message.
const CLOCK_BYTES: usize = 26;

pub(crate) fn wire_bytes(body: &StreamBody) -> u64 {
    let payload = match body {
        StreamBody::Hello(hello) => 160 + hello.zone.as_str().len(),
        StreamBody::Versions(versions) => {
            let heads =
                versions.records.keys().map(|id| id.zone.as_str().len() + id.gateway.len() + 28);
            let ids = versions.trust.as_ref().map_or(0, |held| held.ids.len() * 34);
            heads.sum::<usize>() + ids
        }
        StreamBody::Items(items) => items.iter().map(|item| item.size() + PADDING + 8).sum(),
        StreamBody::Trust(items) => items.iter().map(|item| item.size() + 16).sum(),
        StreamBody::TrustIds(held) => held.ids.len() * 34 + 70,
        StreamBody::Digest(_) => 70,
        // Nobody asks for counters here.
        StreamBody::CountersQuestion | StreamBody::Counters(_) | StreamBody::Unknown => 0,
    };
    let payload = (payload + CLOCK_BYTES) as u64;
    payload + payload.div_ceil(1300) * PACKET_BYTES + ACK_BYTES
}
