//! Two gateways under a script: whatever comes from the wire or the local network, the tunnel
//! works, and what it carries comes out as it went in.

use std::time::Duration;

use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, Mac as _};
use blake2::{Blake2s256, Blake2sMac};

use super::pair::{Datagram, Pair, Setting, Side, berlin_to_madrid};
use crate::clamp::clamp_mss;
use crate::fuzzing::{Given, Script, ScriptMemory, assert_same_flows, next_packet, super_packet};
use crate::packet::InnerPacket;
use crate::split::Split;
use crate::vnet::{Gso, Vnet};

/// Steps of one script.
const STEPS: usize = 24;
/// Handshakes in a second beyond which cookies are asked for.
const LOAD: usize = 101;

/// Lets datagrams of a script come to `madrid`, whose tunnel with `berlin` is up: noise, genuine
/// ones that were damaged or come again, and forged handshakes that pass the first check.
///
/// # Panics
/// If the tunnel does not carry a packet afterwards.
pub fn datagrams(bytes: &[u8]) {
    let mut pair = Pair::established(&Setting::default());
    let mut script = Script::new(bytes);
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        step(&mut pair, &mut script);
    }
    pair.settle();
    pair.madrid.take();
    let packet = berlin_to_madrid(b"still there?");
    pair.berlin.give(packet.clone());
    pair.settle();
    assert_eq!(pair.madrid.take(), [packet]);
}

fn step(pair: &mut Pair, script: &mut Script<'_>) {
    let kind = script.byte();
    match kind & 7 {
        0 => deliver(pair, kind, script.piece(2000).to_vec()),
        1 => {
            let bytes = damaged(pair, script);
            deliver(pair, kind, bytes);
        }
        2 => {
            let bytes = forged(pair, script);
            deliver(pair, kind, bytes);
        }
        3 => {
            let bytes = in_session(pair, script);
            deliver(pair, kind, bytes);
        }
        4 => {
            let bytes = forged(pair, script);
            for _ in 0..LOAD {
                deliver(pair, kind, bytes.clone());
                pair.settle();
            }
        }
        5 => pair.pass(Duration::from_millis(u64::from(script.byte()) * 4)),
        6 => pair.berlin.give(berlin_to_madrid(script.piece(1400))),
        _ => pair.settle(),
    }
}

/// To `madrid`, from a stranger, or under the address of `berlin`.
fn deliver(pair: &Pair, kind: u8, bytes: Vec<u8>) {
    let stranger = "203.0.113.66:666".parse().expect("an address");
    let from = if kind & 8 == 0 { stranger } else { pair.berlin.address() };
    pair.wire.deliver(Datagram { from, to: pair.madrid.address(), bytes, ecn: kind >> 6 });
}

/// A datagram that was sent before, whole or damaged.
fn damaged(pair: &Pair, script: &mut Script<'_>) -> Vec<u8> {
    let seen = pair.wire.seen.lock().expect("nothing panicked");
    let mut bytes = seen[usize::from(script.byte()) % seen.len()].bytes.clone();
    let at = usize::from(script.number()) % bytes.len();
    bytes[at] ^= script.byte();
    if script.flag() {
        bytes.truncate(at);
    }
    bytes
}

/// A handshake message whose first MAC is right: anybody who knows the public key can make one.
fn forged(pair: &Pair, script: &mut Script<'_>) -> Vec<u8> {
    let (kind, len) = if script.flag() { (1, 148) } else { (2, 92) };
    let mut message = script.piece(len).to_vec();
    message.resize(len, script.byte());
    message[..4].copy_from_slice(&[kind, 0, 0, 0]);
    let end = len - 32;
    let mac = first_mac(&pair.madrid, &message[..end]);
    message[end..end + 16].copy_from_slice(&mac);
    message
}

/// WireGuard paper, section 5.4.4.
fn first_mac(receiver: &Side, message: &[u8]) -> [u8; 16] {
    let public = receiver.private_key.public_key().0;
    let key = Blake2s256::new().chain_update(b"mac1----").chain_update(public).finalize();
    let mac = Blake2sMac::<U16>::new_from_slice(&key).expect("a key of 32 bytes");
    mac.chain_update(message).finalize().into_bytes().into()
}

/// A data message for a session that may exist, sealed by nobody.
fn in_session(pair: &Pair, script: &mut Script<'_>) -> Vec<u8> {
    let seen = pair.wire.seen.lock().expect("nothing panicked");
    let to_madrid = seen.iter().rev().find(|datagram| {
        datagram.to == pair.madrid.address() && datagram.bytes.first() == Some(&4)
    });
    let mut message = vec![4, 0, 0, 0];
    message.extend(to_madrid.map_or(&[0; 4][..], |datagram| &datagram.bytes[4..8]));
    message[4] = message[4].wrapping_add(script.byte());
    message.extend(script.piece(2000));
    message
}

/// Lets packets of a script through the tunnel, in bulk and one by one.
///
/// # Panics
/// If what `madrid` gets is not what `berlin` was given, each flow in its order.
pub fn packets(bytes: &[u8]) {
    let mut pair = Pair::established(&Setting::default());
    let mut script = Script::new(bytes);
    let (mut memory, mut expected) = (ScriptMemory::default(), Vec::new());
    for _ in 0..STEPS * 2 {
        if script.is_over() {
            break;
        }
        if let Some((vnet, packet)) = given(&mut script, &mut memory) {
            expected.extend(carried(vnet, packet.clone()));
            pair.berlin.give_with(vnet, packet);
        }
    }
    pair.settle();
    assert_same_flows(&expected, &pair.madrid.take());
}

fn given(script: &mut Script<'_>, memory: &mut ScriptMemory) -> Option<Given> {
    match script.byte() & 3 {
        0 => Some(super_packet(script)),
        // Anything at all behind a header that can be read.
        1 => Some((Vnet::parse(&script.array())?, script.piece(3000).to_vec())),
        _ => Some((Vnet::PLAIN, next_packet(script, memory)?)),
    }
}

/// The packets that `madrid` is to get for one that `berlin` was given, none if it has to be dropped.
fn carried(vnet: Vnet, mut packet: Vec<u8>) -> Vec<Vec<u8>> {
    let of = |address: std::net::IpAddr, net: u8| match address {
        std::net::IpAddr::V4(v4) => v4.octets()[..2] == [10, net],
        std::net::IpAddr::V6(v6) => v6.segments()[..3] == [0x2001, 0xdb8, u16::from(net)],
    };
    let Some(inner) = InnerPacket::parse(&packet) else {
        return Vec::new();
    };
    if !of(inner.source, 1) || !of(inner.destination, 2) {
        return Vec::new();
    }
    packet.truncate(inner.len);
    if vnet.gso == Gso::None {
        clamp_mss(&mut packet, 1420, vnet.needs_checksum);
    }
    let Ok(mut split) = Split::new(vnet, &mut packet) else {
        return Vec::new();
    };
    let mut pieces = Vec::new();
    while let Some(range) = split.next(&mut packet) {
        let mut piece = packet[range].to_vec();
        clamp_mss(&mut piece, 1420, false);
        pieces.push(piece);
    }
    pieces
}
