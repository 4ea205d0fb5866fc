//! `zonemesh show ZONE`: one tunnel, everything that is known of it.

use zonemesh_api::view::{PeerEntry, PeerView, Timestamp};

use super::{counted, findings};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes, delay, offset, percent};
use crate::table::{plain, wrapped};

/// What a peer that runs plain WireGuard has not.
const OF_GATEWAYS: [&str; 4] = ["gateway", "stream", "clock", "tunnel"];
/// What stands below the names of values.
const VALUE: &str = "           ";

/// What the kernel does in bulk for this peer, and what it has refused so far.
fn bulk_work(peer: &PeerEntry) -> String {
    let states: Vec<_> =
        peer.offloads.iter().map(|(kind, state)| format!("{kind} {state}")).collect();
    let fallbacks = counted(&peer.fallbacks);
    match (states.is_empty(), fallbacks.is_empty()) {
        (true, _) => "unknown".to_owned(),
        (false, true) => states.join(", "),
        (false, false) => format!("{}; fell back: {fallbacks}", states.join(", ")),
    }
}

/// Where datagrams to it go, and from which port if that is not the usual one.
fn via(peer: &PeerEntry) -> String {
    let endpoint = peer.endpoint.clone().unwrap_or_else(|| "no known endpoint".to_owned());
    match peer.source_port {
        Some(port) => format!("{endpoint}, from port {port}: the listen port was not answered"),
        None => endpoint,
    }
}

/// What the other end has counted, and what of both is missing.
fn both_ends(view: &PeerView, page: Page) -> Vec<(&'static str, String)> {
    let Some(pair) = &view.pair else {
        let silent = "has not said what it has counted: it is of another release, or busy";
        return match view.peer.stream {
            "up" => vec![("other end", silent.to_owned())],
            _ => Vec::new(),
        };
    };
    let way = |sent, received, lost: i64| {
        let what = if lost < 0 { "more than was sent: on their way before" } else { "missing" };
        format!(
            "{} sent, {} received, {} {what}",
            bytes(sent),
            bytes(received),
            bytes(lost.unsigned_abs())
        )
    };
    let dropped = counted(&pair.dropped_there);
    let dropped = match dropped.is_empty() {
        true => "nothing dropped".to_owned(),
        false => format!("dropped of all its tunnels: {dropped}"),
    };
    vec![
        ("way there", way(pair.sent_here, pair.received_there, pair.lost_on_the_way_there)),
        ("way here", way(pair.sent_there, pair.received_here, pair.lost_on_the_way_here)),
        ("", format!("both since {}", ago(pair.since.0, page.now))),
        (
            "other end",
            format!(
                "handshake {}, {} unanswered; {dropped}",
                ago(pair.latest_handshake_there.0, page.now),
                pair.unanswered_initiations_there
            ),
        ),
    ]
}

/// How well the path goes.
fn quality(peer: &PeerEntry) -> String {
    match (peer.rtt_ms, peer.jitter_ms, peer.loss_percent) {
        (Some(rtt), jitter, Some(loss)) => format!(
            "RTT {}, jitter {}, loss {}",
            delay(rtt),
            jitter.map_or_else(|| "-".to_owned(), delay),
            percent(loss)
        ),
        _ if peer.is_wireguard_peer() => {
            "unknown: plain WireGuard answers no probes, its handshakes tell".to_owned()
        }
        _ => "unknown: the peer does not answer probes, its handshakes tell".to_owned(),
    }
}

/// How large packets may be.
fn mtu(peer: &PeerEntry) -> String {
    match (peer.mtu, peer.black_hole, peer.underlay_mtu) {
        (Some(mtu), true, Some(below)) => {
            format!("nothing above {mtu} bytes passes, though the underlay has {below}")
        }
        (Some(mtu), true, None) => format!("nothing above {mtu} bytes passes"),
        (Some(mtu), false, Some(below)) => format!("{mtu} bytes (underlay {below})"),
        (Some(mtu), false, None) => format!("{mtu} bytes"),
        (None, ..) => "unknown".to_owned(),
    }
}

impl Rendered for PeerView {
    fn text(&self, page: Page) -> String {
        let peer = &self.peer;
        let reason = peer.reason.as_deref().unwrap_or("nothing was heard of it yet");
        let clock = peer.clock_offset_ms.map_or_else(|| "unknown".to_owned(), offset);
        let whose = match peer.is_wireguard_peer() {
            true => ("peer", format!("{} (plain WireGuard, no zone of the mesh)", peer.zone)),
            false => ("zone", peer.zone.clone()),
        };
        let lines = [
            whose,
            ("gateway", peer.gateway.clone()),
            ("state", format!("{} ({reason}, {})", peer.state, ago(peer.since.0, page.now))),
            ("via", via(peer)),
            ("quality", quality(peer)),
            ("mtu", mtu(peer)),
            ("handshake", ago(peer.latest_handshake.0, page.now)),
            (
                "traffic",
                format!("{} received, {} sent", bytes(peer.rx_bytes), bytes(peer.tx_bytes)),
            ),
            ("stream", peer.stream.to_owned()),
            ("clock", clock),
            ("tunnel", peer.tunnel_addresses.join(", ")),
            ("prefixes", peer.prefixes.join(", ")),
            ("key", peer.public_key.clone()),
            ("bulk work", bulk_work(peer)),
        ];
        let line = |(name, value): (&str, String)| {
            let line = format!("{name:<10} {}", plain(&value));
            if page.wide { format!("{line}\n") } else { wrapped(&line, VALUE) }
        };
        let is_known =
            |(name, _): &(&str, String)| !peer.is_wireguard_peer() || !OF_GATEWAYS.contains(name);
        let mut text: String = lines.into_iter().filter(is_known).map(line).collect();
        text.extend(both_ends(self, page).into_iter().map(line));
        let now = Timestamp(page.now);
        text.extend(self.findings.iter().map(|finding| findings::text(finding, now)));
        if !self.is_well() && !self.has_alarms() {
            // What is the matter is not about this zone, or is a note still: that one was stopped.
            let line = format!("! no tunnel is up to {}  -> zonemesh status", peer.label);
            text.push_str(&wrapped(&plain(&line), "  "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1;
    use zonemesh_api::view::PeersView;
    use zonemesh_core::time::UnixMillis;

    use super::*;

    /// Berlin with two gateways, madrid with one.
    fn reply() -> v1::PeersReply {
        let names = [("berlin", "gw1"), ("berlin", "gw2"), ("madrid", "madrid-gw1")];
        let peer = |(zone, gateway): (&str, &str)| v1::PeerView {
            zone: zone.to_owned(),
            gateway: gateway.to_owned(),
            ..v1::PeerView::default()
        };
        v1::PeersReply { peers: names.map(peer).to_vec(), ..v1::PeersReply::default() }
    }

    #[test]
    fn a_gateway_is_shown_by_its_zone_unless_that_has_several() {
        let found = PeerView::find(reply(), "madrid").unwrap();
        assert_eq!(found.peer.gateway, "madrid-gw1");
        let found = PeerView::find(reply(), "berlin/gw2").unwrap();
        assert_eq!(found.peer.gateway, "gw2");
        let error = PeerView::find(reply(), "berlin").unwrap_err().to_string();
        assert!(error.ends_with("name one of them: berlin/gw1, berlin/gw2"), "{error}");
        assert!(PeerView::find(reply(), "berlin/gw3").is_err());
    }

    #[test]
    fn a_plain_wireguard_peer_is_told_as_that_and_from_a_zone_of_its_name() {
        let mut reply = reply();
        reply.peers[1].zone = "office".to_owned();
        reply.peers[1].gateway = "wireguard_peer".to_owned();
        let page = Page { header: true, wide: false, now: UnixMillis::default() };
        let text = PeerView::find(reply.clone(), "office").unwrap().text(page);
        assert!(text.starts_with("peer       office (plain WireGuard"), "{text}");
        assert!(text.contains("plain WireGuard answers no probes"), "{text}");
        let is_told = |name: &str| text.lines().any(|line| line.starts_with(name));
        assert!(!OF_GATEWAYS.iter().any(|name| is_told(name)), "{text}");
        assert!(PeersView::from(reply.clone()).text(page).contains("\noffice/wireguard_peer "));
        reply.peers[1].zone = "madrid".to_owned();
        let zone = PeerView::find(reply.clone(), "madrid").unwrap();
        assert_eq!(
            (zone.peer.gateway.as_str(), zone.peer.label.as_str()),
            ("madrid-gw1", "madrid")
        );
        let plain = PeerView::find(reply, "madrid/wireguard_peer").unwrap();
        assert!(plain.peer.is_wireguard_peer());
    }

    #[test]
    fn a_source_port_that_is_not_the_listen_port_is_shown_beside_the_endpoint() {
        let via_of = |source_port| {
            let mut reply = reply();
            reply.peers[2].endpoint = "203.0.113.1:51820".to_owned();
            reply.peers[2].source_port = source_port;
            via(&PeerView::find(reply, "madrid").unwrap().peer)
        };
        assert_eq!(via_of(None), "203.0.113.1:51820");
        assert_eq!(
            via_of(Some(40_123)),
            "203.0.113.1:51820, from port 40123: the listen port was not answered"
        );
    }

    #[test]
    fn a_tunnel_with_the_longest_names_and_ipv6_fits_80_columns_unless_all_is_asked_for() {
        let mut reply = reply();
        let peer = &mut reply.peers[2];
        (peer.zone, peer.gateway) = ("z".repeat(63), "g".repeat(63));
        peer.endpoint = "[fd00:1111:2222:3333:4444:5555:6666:7777]:51820".to_owned();
        peer.source_port = Some(40_123);
        peer.prefixes = vec!["fd00:1111:2222:3333:4444:5555:6666:7777/128".to_owned(); 4];
        peer.tunnel_addresses = vec!["fd00:1111:2222:3333:4444:5555:6666:7777".to_owned(); 3];
        let view = PeerView::find(reply, &"z".repeat(63)).unwrap();
        let text = |wide| view.text(Page { header: true, wide, now: UnixMillis::default() });
        let is_wide = |line: &str| line.chars().count() > 80;
        assert!(!text(false).lines().any(is_wide), "{}", text(false));
        assert!(text(true).lines().any(is_wide), "{}", text(true));
        let below = "\n           fd00:1111:2222:3333:4444:5555:6666:7777";
        assert!(text(false).contains(below), "{}", text(false));
    }

    #[test]
    fn two_gateways_of_a_zone_are_told_apart_and_others_are_named_as_before() {
        let text = |wide| {
            let page = Page { header: true, wide, now: UnixMillis::default() };
            PeersView::from(reply()).text(page)
        };
        for row in ["\nberlin/gw1  unknown", "\nberlin/gw2  unknown", "\nmadrid      unknown"] {
            assert!(text(false).contains(row), "{}", text(false));
        }
        for row in ["\nberlin  gw1         unknown", "\nmadrid  madrid-gw1  unknown"] {
            assert!(text(true).contains(row), "{}", text(true));
        }
    }
}
