//! `zonemesh status`: one screen about a gateway, and whether anything needs a look.
//!
//! It answers the usual questions: are the tunnels up, is the registry complete, where is the
//! SuperLink, what do VMs pin.

use std::time::Duration;

use zonemesh_api::view::{EtcdSection, LeftOut, RegistrySection, StatusView, Timestamp};

use super::{companions, counted, findings, peers, superlinks};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, span};
use crate::table::plain;

impl Rendered for StatusView {
    fn text(&self, page: Page) -> String {
        let mut text = if page.header { heading(self) } else { String::new() };
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

fn heading(status: &StatusView) -> String {
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
    lines.into_iter().chain(etcd).chain(pin).map(|line| format!("{}\n", plain(&line))).collect()
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
