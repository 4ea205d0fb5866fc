//! The answer to a `get`: a tunnel in the words of the UAPI.
//!
//! Everything comes from the tunnel itself, so that what is shown is what is in use.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::tunnel::{Tunnel, UapiPeer};

/// All of `tunnel`; its private key only if it is anybody's.
pub(super) fn of(tunnel: &Tunnel, with_private_key: bool) -> String {
    let mut text = String::new();
    if with_private_key {
        line(&mut text, "private_key", &hex(&tunnel.private_key()));
    }
    line(&mut text, "listen_port", &tunnel.listen_port());
    if let Some(mark) = tunnel.fwmark() {
        line(&mut text, "fwmark", &mark);
    }
    for peer in tunnel.shown_peers() {
        show_peer(&mut text, &peer);
    }
    text
}

fn show_peer(text: &mut String, peer: &UapiPeer) {
    let UapiPeer { settings, allowed_ips, status } = peer;
    line(text, "public_key", &hex(&status.public_key.0));
    let preshared_key = settings.preshared_key.as_ref().map(|key| *key.to_bytes());
    line(text, "preshared_key", &hex(&preshared_key.unwrap_or_default()));
    line(text, "protocol_version", &1);
    if let Some(endpoint) = status.endpoint {
        line(text, "endpoint", &endpoint);
    }
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let handshake = status.latest_handshake.map(since_1970).unwrap_or_default();
    line(text, "last_handshake_time_sec", &handshake.as_secs());
    line(text, "last_handshake_time_nsec", &handshake.subsec_nanos());
    line(text, "tx_bytes", &status.tx_bytes);
    line(text, "rx_bytes", &status.rx_bytes);
    let keepalive = settings.keepalive.unwrap_or_default().as_secs();
    line(text, "persistent_keepalive_interval", &keepalive);
    for prefix in allowed_ips {
        line(text, "allowed_ip", prefix);
    }
}

fn line(text: &mut String, key: &str, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{key}={value}");
}

/// Bytes as the UAPI writes keys.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
