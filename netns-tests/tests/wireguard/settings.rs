//! The UAPI: every key, every errno, and the limits of the protocol.
//!
//! ```text
//!   test -- /var/run/wireguard/IFACE.sock -- left
//! ```
//!
//! Specification: <https://www.wireguard.com/xplatform/>.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use netns_tests::wireguard::gateway::{PORT, WireGuardGateway, key, read_answer};
use netns_tests::wireguard::implementation::Implementation;
use netns_tests::wireguard::key::{TunnelKey, base64, hex};
use netns_tests::wireguard::wan::{Side, Wan};

const EINVAL: i32 = -22;
const EPROTO: i32 = -71;
const EADDRINUSE: i32 = -98;

fn peer(number: u16) -> String {
    TunnelKey::of(number).public_hex()
}

pub(crate) fn get_shows_every_setting(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let own = key(Side::Left).secret_hex();
    let (peer, secret) = (peer(7), hex(&[0x33; 32]));
    let settings = format!("private_key={own}\nlisten_port=4500\nfwmark=77\n");
    let of_peer = format!(
        "public_key={peer}\npreshared_key={secret}\nendpoint=[2001:db8:b::1]:51820\n\
         persistent_keepalive_interval=25\nallowed_ip=10.1.0.0/16\nallowed_ip=fd00:1::/64\n"
    );
    let set = format!("set=1\n{settings}replace_peers=true\n{of_peer}\n");
    ensure!(gateway.errno(&set)? == 0, "the settings were refused");
    let answer = gateway.ask("get=1\n\n")?;
    let more = ["protocol_version=1", "last_handshake_time_sec=0", "last_handshake_time_nsec=0"];
    let none = ["rx_bytes=0", "errno=0"];
    for line in settings.lines().chain(of_peer.lines()).chain(more).chain(none) {
        ensure!(answer.lines().any(|shown| shown == line), "no {line} in\n{answer}");
    }
    ensure!(answer.ends_with("errno=0\n\n"), "the answer does not end as it should: {answer:?}");
    wan.succeeded()
}

pub(crate) fn bad_requests_get_their_errno_and_change_nothing(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let own = key(Side::Left).secret_hex();
    let set = format!("set=1\nprivate_key={own}\nlisten_port={PORT}\n\n");
    ensure!(gateway.errno(&set)? == 0, "the settings were refused");
    let before = gateway.show()?;
    let peer = format!("public_key={}", peer(7));
    for lines in [
        "what=ever",
        "listen_port=65536",
        "listen_port=-1",
        "fwmark=4294967296",
        "private_key=00",
        "private_key=zz00000000000000000000000000000000000000000000000000000000000000",
        "replace_peers=yes",
        "public_key=abcd",
        &format!("{peer}\nendpoint=example.org:51820"),
        &format!("{peer}\nendpoint=192.0.2.1"),
        &format!("{peer}\npersistent_keepalive_interval=65536"),
        &format!("{peer}\nallowed_ip=10.0.0.0/33"),
        &format!("{peer}\nallowed_ip=fd00::/129"),
        &format!("{peer}\npreshared_key=77"),
        &format!("{peer}\nprotocol_version=2"),
    ] {
        let errno = gateway.errno(&format!("set=1\n{lines}\n\n"))?;
        ensure!(errno == EINVAL, "errno {errno} for {lines:?}");
    }
    // No `key=value` at all is a breach of the protocol to some, a bad value to others.
    let errno = gateway.errno("set=1\nlisten_port\n\n")?;
    ensure!([EINVAL, EPROTO].contains(&errno), "errno {errno} for a line without a value");
    let after = gateway.show()?;
    ensure!(after.listen_port == before.listen_port, "the port changed: {after:?}");
    ensure!(after.private_key == before.private_key, "the key changed");
    wan.succeeded()
}

/// Whoever writes the requests may hold anything in memory; a client waits for the answer.
pub(crate) fn bytes_that_are_no_text_get_an_errno(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    gateway.set(&["listen-port", "4500"])?;
    for bytes in [
        &b"\xff\xfe"[..],
        b"\0",
        b"listen_port=45\x0001",
        b"listen_port=45\xc3\x28",
        b"fwmark=\xf0",
    ] {
        let mut stream = gateway.connect()?;
        stream.write_all(&[b"set=1\n", bytes, b"\n\n"].concat())?;
        let answer = read_answer(&mut stream)?;
        let errno = answer.lines().find_map(|line| line.strip_prefix("errno="));
        ensure!(errno.is_some_and(|errno| errno != "0"), "{answer:?} to {bytes:?}");
        ensure!(answer.ends_with("\n\n"), "{answer:?} has no end");
    }
    ensure!(gateway.show()?.listen_port == 4500, "the port changed");
    wan.succeeded()
}

/// As many as a monitoring system with a leak leaves open.
pub(crate) fn sixty_idle_clients_do_not_block_the_next(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut stream = gateway.connect()?;
        stream.write_all(b"get=1\n\n")?;
        ensure!(read_answer(&mut stream)?.ends_with("errno=0\n\n"), "number {}", idle.len());
        idle.push(stream);
    }
    let start = Instant::now();
    ensure!(gateway.errno("get=1\n\n")? == 0, "the next one was refused");
    let waited = start.elapsed();
    ensure!(waited < Duration::from_secs(1), "the next one waited for {waited:.1?}");
    drop(idle);
    wan.succeeded()
}

pub(crate) fn zero_takes_a_setting_away(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let (own, peer, secret) = (key(Side::Left).secret_hex(), peer(7), hex(&[0x33; 32]));
    gateway.ask(&format!(
        "set=1\nprivate_key={own}\nfwmark=9\npublic_key={peer}\npreshared_key={secret}\n\
         persistent_keepalive_interval=25\n\n"
    ))?;
    let shown = gateway.show()?;
    ensure!(shown.fwmark == "0x9" && shown.peers[0].keepalive == "25", "{shown:?}");
    ensure!(shown.peers[0].preshared_key == base64(&[0x33; 32]), "{shown:?}");
    let zeros = "0".repeat(64);
    let errno = gateway.errno(&format!(
        "set=1\nprivate_key={zeros}\nfwmark=0\npublic_key={peer}\npreshared_key={zeros}\n\
         persistent_keepalive_interval=0\n\n"
    ))?;
    ensure!(errno == 0, "errno {errno}");
    let shown = gateway.show()?;
    ensure!(shown.private_key == "(none)" && shown.fwmark == "off", "{shown:?}");
    let peer = &shown.peers[0];
    ensure!(peer.preshared_key == "(none)" && peer.keepalive == "off", "{peer:?}");
    wan.succeeded()
}

pub(crate) fn update_only_and_remove_touch_no_other_peer(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let (a, b, unknown) = (peer(7), peer(8), peer(9));
    let set = |text: &str| -> Result<()> {
        let errno = gateway.errno(&format!("set=1\n{text}\n"))?;
        ensure!(errno == 0, "errno {errno} for {text}");
        Ok(())
    };
    set(&format!("public_key={a}\nallowed_ip=10.1.0.0/16\nallowed_ip=10.2.0.0/16\n"))?;
    set(&format!("public_key={b}\nallowed_ip=10.3.0.0/16\n"))?;
    set(&format!("public_key={unknown}\nupdate_only=true\nallowed_ip=10.9.0.0/16\n"))?;
    ensure!(gateway.show()?.peers.len() == 2, "update_only made a peer");
    set(&format!("public_key={unknown}\nremove=true\n"))?;
    set(&format!(
        "public_key={a}\nupdate_only=true\nreplace_allowed_ips=true\nallowed_ip=10.4.0.0/16\n"
    ))?;
    let of = |number| -> Result<Vec<String>> {
        let key = TunnelKey::of(number).public_base64();
        let peers = gateway.show()?.peers;
        let found = peers.into_iter().find(|peer| peer.public_key == key);
        Ok(found.map(|peer| peer.allowed_ips).unwrap_or_default())
    };
    ensure!(of(7)? == ["10.4.0.0/16"], "{:?}", of(7)?);
    ensure!(of(8)? == ["10.3.0.0/16"], "{:?}", of(8)?);
    set(&format!("public_key={a}\nremove=true\n"))?;
    let left = gateway.show()?.peers;
    ensure!(left.len() == 1 && left[0].allowed_ips == ["10.3.0.0/16"], "{left:?}");
    wan.succeeded()
}

pub(crate) fn allowed_ips_that_move_leave_the_old_peer(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let (a, b) = (TunnelKey::of(7).public_base64(), TunnelKey::of(8).public_base64());
    gateway.set(&["peer", &a, "allowed-ips", "10.1.0.0/16,10.2.0.0/16,fd01::/64"])?;
    gateway.set(&["peer", &b, "allowed-ips", "10.2.0.0/16,fd01::/64"])?;
    for peer in gateway.show()?.peers {
        let expected: &[&str] =
            if peer.public_key == a { &["10.1.0.0/16"] } else { &["10.2.0.0/16", "fd01::/64"] };
        ensure!(peer.allowed_ips == expected, "{peer:?}");
    }
    wan.succeeded()
}

pub(crate) fn ones_own_key_is_no_peer(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let (own, public) = (key(Side::Left).secret_hex(), key(Side::Left).public_hex());
    gateway.ask(&format!("set=1\nprivate_key={own}\n\n"))?;
    // Refused with an errno or passed over: both are in use. Taken is neither.
    gateway.ask(&format!("set=1\npublic_key={public}\nallowed_ip=10.1.0.0/16\n\n"))?;
    ensure!(gateway.show()?.peers.is_empty(), "one's own key is a peer");
    gateway.ask(&format!("set=1\npublic_key={}\n\n", peer(7)))?;
    gateway.ask(&format!("set=1\nprivate_key={}\n\n", TunnelKey::of(7).secret_hex()))?;
    let shown = gateway.show()?;
    let is_own = |peer: &_| *peer == shown.public_key;
    ensure!(!shown.peers.iter().any(|peer| is_own(&peer.public_key)), "a peer's key became ours");
    wan.succeeded()
}

/// As the kernel does it: the key of the interface counts, and the peer that it makes impossible goes.
pub(crate) fn a_peer_whose_key_becomes_ones_own_is_removed(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    gateway.ask(&format!("set=1\nprivate_key={}\n\n", key(Side::Left).secret_hex()))?;
    let (a, b) = (peer(7), peer(8));
    gateway.ask(&format!(
        "set=1\npublic_key={a}\nallowed_ip=10.1.0.0/16\npublic_key={b}\nallowed_ip=10.2.0.0/16\n\n"
    ))?;
    let becomes = format!("set=1\nprivate_key={}\n\n", TunnelKey::of(7).secret_hex());
    let errno = gateway.errno(&becomes)?;
    ensure!(errno == 0, "errno {errno}");
    let shown = gateway.show()?;
    ensure!(shown.public_key == TunnelKey::of(7).public_base64(), "{shown:?}");
    ensure!(shown.peers.len() == 1 && shown.peers[0].allowed_ips == ["10.2.0.0/16"], "{shown:?}");
    // Named as a peer again, it is passed over, and what it asks for stays where it is.
    let errno = gateway.errno(&format!("set=1\npublic_key={a}\nallowed_ip=10.2.0.0/16\n\n"))?;
    ensure!(errno == 0, "errno {errno}");
    ensure!(gateway.show()?.peers == shown.peers, "{:?}", gateway.show()?);
    wan.succeeded()
}

pub(crate) fn keys_are_clamped(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let errno = gateway.errno(&format!("set=1\nprivate_key={}\n\n", hex(&[0xff; 32])))?;
    ensure!(errno == 0, "errno {errno}");
    let mut clamped = [0xff; 32];
    (clamped[0], clamped[31]) = (0xf8, 0x7f);
    let shown = gateway.show()?;
    ensure!(shown.private_key == base64(&clamped), "{shown:?}");
    wan.succeeded()
}

pub(crate) fn allowed_ips_by_the_hundred_thousand_load_within_a_second(
    by: Implementation,
) -> Result<()> {
    const COUNT: u32 = 130_000;
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let mut request = format!("set=1\npublic_key={}\n", peer(7));
    for number in 0..COUNT {
        let [_, b, c, d] = number.to_be_bytes();
        writeln!(request, "allowed_ip=10.{b}.{c}.{d}/32")?;
    }
    request.push('\n');
    let start = Instant::now();
    let errno = gateway.errno(&request)?;
    let loaded = start.elapsed();
    ensure!(errno == 0, "errno {errno}");
    let answer = gateway.ask("get=1\n\n")?;
    let shown = answer.lines().filter(|line| line.starts_with("allowed_ip=")).count();
    writeln!(std::io::stderr(), "{by}: {COUNT} allowed IPs in {loaded:.2?}")?;
    ensure!(shown == COUNT as usize, "{shown} of {COUNT} are shown");
    ensure!(loaded < Duration::from_secs(1), "loading took {loaded:.2?}");
    let start = Instant::now();
    gateway.ask(&format!("set=1\npublic_key={}\npersistent_keepalive_interval=9\n\n", peer(7)))?;
    let changed = start.elapsed();
    ensure!(changed < Duration::from_secs(1), "changing one setting took {changed:.2?}");
    wan.succeeded()
}

pub(crate) fn requests_share_a_connection(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let mut stream = gateway.connect()?;
    for port in [4501, 4502, 4503] {
        stream.write_all(format!("set=1\nlisten_port={port}\n\n").as_bytes())?;
        ensure!(read_answer(&mut stream)? == "errno=0\n\n", "the port was refused");
        stream.write_all(b"get=1\n\n")?;
        let answer = read_answer(&mut stream)?;
        ensure!(answer.contains(&format!("listen_port={port}\n")), "{answer}");
    }
    wan.succeeded()
}

pub(crate) fn a_silent_client_holds_up_nobody(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    let silent = gateway.connect()?;
    let mut halfway = gateway.connect()?;
    halfway.write_all(b"set=1\nlisten_port=45")?;
    let start = Instant::now();
    ensure!(gateway.errno("get=1\n\n")? == 0, "refused");
    let waited = start.elapsed();
    ensure!(waited < Duration::from_secs(1), "two silent clients held up a third for {waited:.1?}");
    drop((silent, halfway));
    wan.succeeded()
}

pub(crate) fn a_port_in_use_is_refused_and_the_old_one_stays(by: Implementation) -> Result<()> {
    let wan = Wan::new()?;
    let gateway = WireGuardGateway::start(by, &wan, Side::Left)?;
    gateway.set(&["listen-port", "4500"])?;
    let taken = gateway.namespace().inside(|| Ok(std::net::UdpSocket::bind("0.0.0.0:4501")?))?;
    let errno = gateway.errno("set=1\nlisten_port=4501\n\n")?;
    ensure!(errno == EADDRINUSE, "errno {errno}");
    ensure!(gateway.show()?.listen_port == 4500, "the old port went");
    drop(taken);
    ensure!(gateway.errno("set=1\nlisten_port=4501\n\n")? == 0, "a free port was refused");
    wan.succeeded()
}
