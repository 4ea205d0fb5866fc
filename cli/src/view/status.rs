//! `zonemesh status`: one screen about a gateway, and whether anything needs a look.
//!
//! It answers the usual questions: are the tunnels up, is the registry complete, where is the
//! SuperLink, what do VMs pin.

use std::time::Duration;

use zonemesh_api::view::{EtcdSection, LeftOut, RegistrySection, StatusView, Timestamp};

use super::{companions, counted, findings, peers, superlinks};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, span};
use crate::table::{packed, plain};

impl Rendered for StatusView {
    fn text(&self, page: Page) -> String {
        let mut text = if page.header { heading(self, page) } else { String::new() };
        text.push_str(&peers::table(&self.peers, page));
        text.push_str(&peers_left_out(self.left_out));
        text.push_str(&superlinks::table(&self.superlinks, page));
        text.push_str(&companions::table(&self.companions, self.now, page));
        text.push_str(&companions_left_out(self.left_out));
        text.push_str(&waiting(&self.pending));
        text.extend(self.findings.iter().map(|finding| findings::text(finding, self.now)));
        text.push_str(&findings_left_out(self.left_out));
        text.push_str(&refusals(self));
        text
    }
}

fn heading(status: &StatusView, page: Page) -> String {
    let up = Duration::from_millis(status.now.0.since(status.started_at.0));
    let tunnel = &status.tunnel;
    let lines = [
        format!(
            "ZONE {} (local)   gateway {}   {}   up {}",
            status.zone,
            status.gateway,
            registry(&status.registry),
            span(up)
        ),
        format!(
            "TUNNEL {} {}   port {}   MTU {}   key {}",
            tunnel.interface,
            tunnel.addresses.join(", "),
            tunnel.listen_port,
            tunnel.mtu,
            tunnel.public_key
        ),
    ];
    let etcd = status.registry.etcd.iter().map(|section| etcd(section, status.now));
    let pin = status.local_api_pin.iter().map(|pin| format!("LOCAL API pin {pin}"));
    let shown = |line: String| match page.wide {
        true => format!("{}\n", plain(&line)),
        false => packed(&plain(&line)),
    };
    lines.into_iter().chain(etcd).chain(pin).map(shown).collect()
}

fn registry(registry: &RegistrySection) -> String {
    let zones = registry.records.saturating_add(registry.missing_total);
    let hash = registry.root_hash.get(..8).unwrap_or("-");
    let (records, streams) = (registry.records, registry.streams);
    format!("registry {records}/{zones} zones, hash {hash}, streams {streams}")
}

fn etcd(etcd: &EtcdSection, now: Timestamp) -> String {
    let url = etcd.url.as_deref().unwrap_or("not tried yet");
    let state = etcd.state.replace('_', " ");
    let since = ago(etcd.since.0, now.0);
    format!("ETCD {url}   {state} (since {since})   refused {}", etcd.refused)
}

fn peers_left_out(left_out: LeftOut) -> String {
    match left_out {
        LeftOut { peers: 0, .. } => String::new(),
        LeftOut { peers, peers_up, .. } => {
            format!("and {peers} more, {peers_up} of them up or degraded  -> zonemesh peers\n")
        }
    }
}

fn companions_left_out(left_out: LeftOut) -> String {
    match left_out.companions {
        0 => String::new(),
        more => format!("and {more} more companions  -> zonemesh status -o json\n"),
    }
}

/// Zones that somebody has to approve: as in `zonemesh zone list`, with the command.
fn waiting(zones: &[String]) -> String {
    let name = match zones {
        [] => return String::new(),
        [one] => plain(one),
        _ => "NAME".to_owned(),
    };
    let zones = plain(&zones.join(", "));
    format!("waiting for approval: {zones}  -> zonemesh zone approve {name}\n")
}

fn findings_left_out(left_out: LeftOut) -> String {
    match left_out.findings {
        0 => String::new(),
        more => format!("and {more} more findings  -> zonemesh status -o json\n"),
    }
}

/// What was refused since the start: it may be long over, so that nobody is called.
fn refusals(status: &StatusView) -> String {
    let lines = [
        ("records and streams refused since the start", counted(&status.registry.rejected)),
        ("refused as too much since the start", counted(&status.refused)),
    ];
    let some = lines.into_iter().filter(|(_, counts)| !counts.is_empty());
    some.map(|(what, counts)| format!("{what}: {counts}\n")).collect()
}

#[cfg(test)]
mod tests {
    use zonemesh_api::v1::{EtcdView, RegistryView, StatusReply, TunnelView};
    use zonemesh_core::time::UnixMillis;

    use super::*;

    /// As long as they may be; the pin is one word, which is copied.
    #[test]
    fn the_lines_above_the_tables_fit_80_columns_with_the_longest_names_but_for_the_pin() {
        let long = "z".repeat(63);
        let ip = "fd00:1111:2222:3333:4444:5555:6666:7777";
        let pin = format!("mesh:{}:{long}:{}", "a".repeat(43), "b".repeat(43));
        let status = StatusView::from(StatusReply {
            zone: long.clone(),
            gateway: "g".repeat(63),
            now_unix_ms: 40_000_000_000,
            tunnel: Some(TunnelView {
                interface: "i".repeat(15),
                addresses: vec![ip.to_owned(); 3],
                public_key: "k".repeat(44),
                listen_port: 51_820,
                mtu: 1420,
                ..TunnelView::default()
            }),
            registry: Some(RegistryView {
                records: 1024,
                streams: 1024,
                root_hash: vec![0xab; 32],
                etcd: Some(EtcdView { url: format!("https://[{ip}]:2379"), ..EtcdView::default() }),
                ..RegistryView::default()
            }),
            local_api_pin: pin.clone(),
            ..StatusReply::default()
        });
        let text = |wide| status.text(Page { header: true, wide, now: UnixMillis::default() });
        let lines = text(false);
        let wide: Vec<_> = lines.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(wide, [format!("  {pin}")], "{lines}");
        assert!(lines.starts_with(&format!("ZONE {long} (local)\n  gateway ggg")), "{lines}");
        assert!(text(true).lines().any(|line| line.contains(" (local)   gateway ggg")));
    }
}
