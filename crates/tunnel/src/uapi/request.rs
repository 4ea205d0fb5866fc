//! Requests of the WireGuard UAPI: text to values.
//!
//! Pure. A request is taken as a whole or refused with the errno that the protocol reports.
//! Specification: <https://www.wireguard.com/xplatform/>.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey, WireGuardPublicKey};

/// A request that cannot be carried out, by its errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

/// The text or a value in it is malformed.
pub(crate) const INVALID: Errno = Errno(libc::EINVAL);
/// More than the protocol allows in one request.
pub(crate) const TOO_LONG: Errno = Errno(libc::E2BIG);

/// What a `set` asks for, in the order in which it was written.
#[derive(Default)]
pub(crate) struct SetRequest {
    /// All zeros take the key away.
    pub(crate) private_key: Option<WireGuardPrivateKey>,
    pub(crate) listen_port: Option<u16>,
    pub(crate) fwmark: Option<u32>,
    pub(crate) replace_peers: bool,
    pub(crate) peers: Vec<PeerChange>,
}

/// What a `set` asks for one peer.
pub(crate) struct PeerChange {
    pub(crate) public_key: WireGuardPublicKey,
    pub(crate) remove: bool,
    pub(crate) update_only: bool,
    pub(crate) preshared_key: Option<Option<PresharedKey>>,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) keepalive: Option<Option<Duration>>,
    pub(crate) replace_allowed_ips: bool,
    /// In order; false takes the prefix away.
    pub(crate) allowed_ips: Vec<(IpNet, bool)>,
}

impl PeerChange {
    fn new(public_key: WireGuardPublicKey) -> Self {
        Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
        }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), Errno> {
        match key {
            "remove" => self.remove = is_true(value)?,
            "update_only" => self.update_only = is_true(value)?,
            "replace_allowed_ips" => self.replace_allowed_ips = is_true(value)?,
            "preshared_key" => self.preshared_key = Some(preshared_key(value)?),
            "endpoint" => self.endpoint = Some(parse(value)?),
            "persistent_keepalive_interval" => {
                let seconds: u16 = parse(value)?;
                let interval = Duration::from_secs(u64::from(seconds));
                self.keepalive = Some((seconds > 0).then_some(interval));
            }
            "allowed_ip" => {
                let (prefix, add) = match value.strip_prefix('-') {
                    Some(prefix) => (prefix, false),
                    None => (value.strip_prefix('+').unwrap_or(value), true),
                };
                self.allowed_ips.push((parse(prefix)?, add));
            }
            "protocol_version" if value == "1" => {}
            _ => return Err(INVALID),
        }
        Ok(())
    }
}

impl SetRequest {
    /// Takes one `key=value` line.
    pub(crate) fn take_line(&mut self, line: &str) -> Result<(), Errno> {
        let (key, value) = line.split_once('=').ok_or(INVALID)?;
        if key == "public_key" {
            self.peers.push(PeerChange::new(WireGuardPublicKey(hex(value)?)));
            return Ok(());
        }
        if let Some(peer) = self.peers.last_mut() {
            return peer.take(key, value);
        }
        match key {
            "private_key" => self.private_key = Some(WireGuardPrivateKey::from_bytes(hex(value)?)),
            "listen_port" => self.listen_port = Some(parse(value)?),
            "fwmark" => self.fwmark = Some(parse(value)?),
            "replace_peers" => self.replace_peers = is_true(value)?,
            _ => return Err(INVALID),
        }
        Ok(())
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T, Errno> {
    text.parse().map_err(|_malformed| INVALID)
}

fn is_true(text: &str) -> Result<bool, Errno> {
    if text == "true" { Ok(true) } else { Err(INVALID) }
}

fn preshared_key(text: &str) -> Result<Option<PresharedKey>, Errno> {
    let bytes = zeroize::Zeroizing::new(hex(text)?);
    if *bytes == [0; 32] {
        return Ok(None);
    }
    // The core reads preshared keys in their text form only.
    let text = WireGuardPrivateKey::from_bytes(*bytes).to_base64();
    PresharedKey::from_base64(&text).map(Some).map_err(|_malformed| INVALID)
}

fn hex(text: &str) -> Result<[u8; 32], Errno> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(INVALID);
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16).unwrap_or_default() as u8;
        *byte = digit(0) << 4 | digit(1);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(lines: &[&str]) -> Result<SetRequest, Errno> {
        let mut request = SetRequest::default();
        lines.iter().try_for_each(|line| request.take_line(line))?;
        Ok(request)
    }

    const KEY: &str = "public_key=00000000000000000000000000000000000000000000000000000000000000aB";

    #[test]
    fn lines_after_a_public_key_are_about_that_peer() {
        let request = request(&[
            "listen_port=51820",
            "replace_peers=true",
            KEY,
            "endpoint=[2001:db8::1]:51820",
            "persistent_keepalive_interval=25",
            "replace_allowed_ips=true",
            "allowed_ip=10.0.0.0/8",
            "allowed_ip=-10.1.0.0/16",
        ]);
        let request = request.map_err(|errno| errno.0).unwrap();
        assert_eq!((request.listen_port, request.replace_peers), (Some(51820), true));
        let peer = &request.peers[0];
        assert_eq!(peer.public_key.0[31], 0xab);
        assert_eq!(peer.keepalive, Some(Some(Duration::from_secs(25))));
        let prefixes = [("10.0.0.0/8", true), ("10.1.0.0/16", false)];
        assert_eq!(peer.allowed_ips, prefixes.map(|(text, add)| (text.parse().unwrap(), add)));
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "",
            "listen_port",
            "listen_port=65536",
            "private_key=00",
            "private_key=zz00000000000000000000000000000000000000000000000000000000000000",
            "replace_peers=yes",
            "endpoint=192.0.2.1:1",
            "what=ever",
        ] {
            assert_eq!(request(&[line]).err(), Some(INVALID), "{line:?}");
        }
        for line in ["endpoint=example.org:1", "allowed_ip=10.0.0.0/33", "listen_port=1"] {
            assert_eq!(request(&[KEY, line]).err(), Some(INVALID), "{line:?}");
        }
    }

    #[test]
    fn a_preshared_key_of_zeros_is_none() {
        let zeros = format!("preshared_key={}", "0".repeat(64));
        let request = request(&[KEY, &zeros]).map_err(|errno| errno.0).unwrap();
        assert!(matches!(request.peers[0].preshared_key, Some(None)));
    }

    /// Lines that are nearly right reach further than noise does.
    fn line() -> impl Strategy<Value = String> {
        let key = prop::sample::select(vec![
            "private_key",
            "listen_port",
            "fwmark",
            "replace_peers",
            "public_key",
            "preshared_key",
            "endpoint",
            "persistent_keepalive_interval",
            "allowed_ip",
            "replace_allowed_ips",
            "protocol_version",
        ]);
        let value = prop_oneof!["[0-9a-f]{64}", "[-+]?[0-9.:/a-f\\[\\]%]{0,24}", "true|1", ".*"];
        prop_oneof![(key, value).prop_map(|(key, value)| format!("{key}={value}")), ".*"]
    }

    proptest! {
        #[test]
        fn any_lines_are_taken_or_refused_and_never_a_panic(lines in prop::collection::vec(line(), 0..12)) {
            let mut request = SetRequest::default();
            for line in &lines {
                let taken = request.take_line(line);
                prop_assert!(matches!(taken, Ok(()) | Err(INVALID)), "{line:?}");
            }
        }

        #[test]
        fn whatever_is_taken_stands_in_the_request(port: u16, mark: u32, keepalive: u16, key: [u8; 32], ip: std::net::IpAddr) {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            let length = if ip.is_ipv4() { 32 } else { 128 };
            let lines = [
                format!("listen_port={port}"),
                format!("fwmark={mark}"),
                format!("public_key={hex}"),
                format!("persistent_keepalive_interval={keepalive}"),
                format!("endpoint={}", SocketAddr::new(ip, port)),
                format!("allowed_ip={ip}/{length}"),
            ];
            let lines = lines.each_ref().map(String::as_str);
            let request = request(&lines).map_err(|errno| TestCaseError::fail(errno.0.to_string()))?;
            let peer = &request.peers[0];
            prop_assert_eq!((request.listen_port, request.fwmark), (Some(port), Some(mark)));
            prop_assert_eq!(peer.public_key.0, key);
            let interval = Duration::from_secs(keepalive.into());
            prop_assert_eq!(peer.keepalive, Some((keepalive > 0).then_some(interval)));
            prop_assert_eq!(peer.endpoint, Some(SocketAddr::new(ip, port)));
            prop_assert_eq!(&peer.allowed_ips, &[(IpNet::from(ip), true)]);
        }
    }
}
