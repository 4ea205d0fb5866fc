//! `zonemesh status`: one screen about a gateway, and whether anything needs a look.
//!
//! Made of five replies, so that one screen answers the usual questions: are the tunnels up, is the
//! registry complete, where is the SuperLink, what do VMs pin.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use zonemesh_api::v1::{
    CertificatesReply, EtcdView, FederationSummary, PeersReply, RecordsReply, RegistryView,
    StatusReply, SuperLinksReply, TunnelView,
};

use super::findings::FindingView;
use super::peers::{Form, Peer};
use super::superlinks::SuperLink;
use super::{Moment, counted, counters, known, readiness};
use crate::output::{Page, Rendered};
use crate::quantity::{ago, hex, span};
use crate::table::plain;

/// What the daemon was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusParts {
    pub(crate) status: StatusReply,
    pub(crate) peers: PeersReply,
    pub(crate) superlinks: SuperLinksReply,
    pub(crate) records: RecordsReply,
    pub(crate) certificates: CertificatesReply,
}

/// One screen.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    schema: &'static str,
    state: &'static str,
    zone: String,
    gateway: String,
    version: String,
    started_at: Moment,
    now: Moment,
    prefixes: Vec<String>,
    zone_key: String,
    local_api_fingerprint: Option<String>,
    tunnel: Tunnel,
    registry: Registry,
    peers: Vec<Peer>,
    superlinks: Vec<SuperLink>,
    federations: Vec<Federation>,
    dropped: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    findings: Vec<FindingView>,
}

#[derive(Debug, Serialize)]
struct Tunnel {
    interface: String,
    mtu: u32,
    listen_port: u32,
    public_key: String,
    addresses: Vec<String>,
    offloads: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Registry {
    records: u32,
    missing: Vec<String>,
    bytes: u64,
    streams: u32,
    root_hash: String,
    accepted: BTreeMap<String, u64>,
    rejected: BTreeMap<String, u64>,
    clone_alarms: u64,
    etcd: Option<Etcd>,
}

#[derive(Debug, Serialize)]
struct Etcd {
    url: Option<String>,
    state: &'static str,
    since: Moment,
    error: Option<String>,
    refused: u64,
}

#[derive(Debug, Serialize)]
struct Federation {
    name: String,
    zone: Option<String>,
    readiness: &'static str,
    held_here: bool,
    conflict: bool,
}

impl From<StatusParts> for StatusView {
    fn from(parts: StatusParts) -> Self {
        let status = parts.status;
        let pins = parts.certificates.certificates.into_iter();
        let mut view = Self {
            schema: "zonemesh/status/v1",
            state: "ok",
            zone: status.zone,
            gateway: status.gateway,
            version: status.version,
            started_at: status.started_at_unix_ms.into(),
            now: status.now_unix_ms.into(),
            prefixes: status.prefixes,
            zone_key: status.zone_key,
            local_api_fingerprint: pins.map(|one| one.pin).find(|pin| !pin.is_empty()),
            tunnel: status.tunnel.unwrap_or_default().into(),
            registry: Registry::new(status.registry.unwrap_or_default(), parts.records),
            peers: parts.peers.peers.into_iter().map(Peer::from).collect(),
            superlinks: parts.superlinks.superlinks.into_iter().map(SuperLink::from).collect(),
            federations: status.federations.into_iter().map(Federation::from).collect(),
            dropped: counters(parts.peers.dropped),
            refused: counters(status.refused),
            findings: status.findings.into_iter().map(FindingView::from).collect(),
        };
        if view.findings.iter().any(FindingView::is_alarming) {
            view.state = "degraded";
        }
        view
    }
}

impl From<TunnelView> for Tunnel {
    fn from(reply: TunnelView) -> Self {
        Self {
            interface: reply.interface,
            mtu: reply.mtu,
            listen_port: reply.listen_port,
            public_key: reply.public_key,
            addresses: reply.addresses,
            offloads: reply.offloads.into_iter().map(|one| (one.kind, one.state)).collect(),
        }
    }
}

impl Registry {
    fn new(reply: RegistryView, records: RecordsReply) -> Self {
        Self {
            records: reply.records,
            missing: records.missing,
            bytes: reply.bytes,
            streams: reply.streams,
            root_hash: hex(&reply.root_hash),
            accepted: counters(reply.accepted),
            rejected: counters(reply.rejected),
            clone_alarms: reply.clone_alarms,
            etcd: reply.etcd.map(Etcd::from),
        }
    }

    fn line(&self) -> String {
        let missing = u32::try_from(self.missing.len()).unwrap_or(u32::MAX);
        let zones = self.records.saturating_add(missing);
        let hash = self.root_hash.get(..8).unwrap_or("-");
        format!("registry {}/{zones} zones, hash {hash}, streams {}", self.records, self.streams)
    }
}

impl From<EtcdView> for Etcd {
    fn from(reply: EtcdView) -> Self {
        Self {
            url: known(reply.url),
            state: if reply.reached { "in_step" } else { "out_of_reach" },
            since: reply.since_unix_ms.into(),
            error: known(reply.error),
            refused: reply.refused,
        }
    }
}

impl Etcd {
    fn line(&self, now: Moment) -> String {
        let url = self.url.as_deref().unwrap_or("not tried yet");
        let state = self.state.replace('_', " ");
        let since = ago(self.since.0, now.0);
        format!("ETCD {url}   {state} (since {since})   refused {}", self.refused)
    }
}

impl From<FederationSummary> for Federation {
    fn from(reply: FederationSummary) -> Self {
        Self {
            readiness: readiness(reply.readiness()),
            name: reply.name,
            zone: known(reply.zone),
            held_here: reply.held_here,
            conflict: reply.conflict,
        }
    }
}

impl StatusView {
    /// True if a line with `!` is shown.
    pub(crate) fn is_degraded(&self) -> bool {
        self.state != "ok"
    }

    fn heading(&self) -> String {
        let up = Duration::from_millis(self.now.0.since(self.started_at.0));
        let lines = [
            format!(
                "ZONE {} (local)   gateway {}   {}   up {}",
                self.zone,
                self.gateway,
                self.registry.line(),
                span(up)
            ),
            format!(
                "TUNNEL {} {}   port {}   MTU {}   key {}",
                self.tunnel.interface,
                self.tunnel.addresses.join(", "),
                self.tunnel.listen_port,
                self.tunnel.mtu,
                self.tunnel.public_key
            ),
        ];
        let etcd = self.registry.etcd.iter().map(|etcd| etcd.line(self.now));
        let pin = self.local_api_fingerprint.iter().map(|pin| format!("LOCAL API {pin}"));
        lines.into_iter().chain(etcd).chain(pin).map(|line| format!("{}\n", plain(&line))).collect()
    }

    /// What was refused since the start: it may be long over, so that nobody is called.
    fn refusals(&self) -> String {
        let lines = [
            ("records and streams refused since the start", counted(&self.registry.rejected)),
            ("refused as too much since the start", counted(&self.refused)),
        ];
        let some = lines.into_iter().filter(|(_, counts)| !counts.is_empty());
        some.map(|(what, counts)| format!("{what}: {counts}\n")).collect()
    }
}

impl Rendered for StatusView {
    fn text(&self, page: Page) -> String {
        let mut text = if page.header { self.heading() } else { String::new() };
        text.push_str(&Peer::table(&self.peers, Form::Narrow, page));
        text.push_str(&SuperLink::table(&self.superlinks, page));
        text.extend(self.findings.iter().map(|finding| finding.text(self.now)));
        text.push_str(&self.refusals());
        text
    }
}
