//! What differs between two valid configurations, key by key.
//!
//! Pure. Sections that may stand several times are told apart by the name that nobody shares: a peer
//! by its zone; a WireGuard peer, a federation and a token by their names; their order is no difference. Promises that
//! two configurations without a difference mean the same, whatever their files look like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::Config;
use crate::keys::{
    DraftEtcd, DraftFederation, DraftGateway, DraftHttp, DraftJoin, DraftKeepalive, DraftLocalApi,
    DraftLog, DraftMesh, DraftPeer, DraftProbes, DraftRegistry, DraftToken, DraftTunnel,
    DraftWireGuardPeer, DraftZone, FederationSettings, HttpSettings, KeepaliveSettings,
    LocalApiSettings, PeerSettings, TokenSettings, WireGuardPeerSettings,
};
use crate::schema::{SectionSpec, TakesEffect};

/// A key, or a whole section, that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// The dotted name: `tunnel.mtu`, `peer[madrid].endpoints`, `peer[madrid]`.
    pub key: String,
    /// What is the matter with it.
    pub kind: DifferenceKind,
    /// When it counts.
    pub effect: TakesEffect,
}

/// How the new configuration differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceKind {
    /// A key has another value.
    Changed,
    /// A section is there that was not.
    Added,
    /// A section is there no more.
    Removed,
}

impl DifferenceKind {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// `tunnel.mtu`, or `peer[madrid] (added)`.
impl fmt::Display for KeyDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DifferenceKind::Changed => f.write_str(&self.key),
            other => write!(f, "{} ({})", self.key, other.as_str()),
        }
    }
}

impl Config {
    /// What `new` has otherwise than this one, in the order of the example.
    #[must_use]
    pub fn difference(&self, new: &Self) -> Vec<KeyDifference> {
        let mut found = Differences::default();
        found.keys(&DraftZone::SPEC, "zone", self.zone.differing(&new.zone));
        found.keys(&DraftGateway::SPEC, "gateway", self.gateway.differing(&new.gateway));
        found.keys(&DraftTunnel::SPEC, "tunnel", self.tunnel.differing(&new.tunnel));
        let keepalive = |config: &Self| KeepaliveSettings::from(&config.keepalive);
        let keepalive = keepalive(self).differing(&keepalive(new));
        found.keys(&DraftKeepalive::SPEC, "keepalive", keepalive);
        found.keys(&DraftProbes::SPEC, "probes", self.probes.differing(&new.probes));
        found.keys(&DraftRegistry::SPEC, "registry", self.registry.differing(&new.registry));
        found.etcd(self, new);
        found.keys(&DraftMesh::SPEC, "mesh", self.mesh.differing(&new.mesh));
        found.keys(&DraftJoin::SPEC, "join", self.join.differing(&new.join));
        found.local_api(self.local_api.as_ref(), new.local_api.as_ref());
        let of = NamedSection {
            spec: &DraftFederation::SPEC,
            name: |one: &FederationSettings| one.name.to_string(),
        };
        found.named(&of, &self.federations, &new.federations, |a, b| a.differing(b));
        let of = NamedSection {
            spec: &DraftPeer::SPEC,
            name: |one: &PeerSettings| one.zone.to_string(),
        };
        found.named(&of, &self.peers, &new.peers, |a, b| a.differing(b));
        let of = NamedSection {
            spec: &DraftWireGuardPeer::SPEC,
            name: |one: &WireGuardPeerSettings| one.name.to_string(),
        };
        found.named(&of, &self.wireguard_peers, &new.wireguard_peers, |a, b| a.differing(b));
        found.keys(&DraftLog::SPEC, "log", self.log.differing(&new.log));
        found.http(self.http, new.http);
        found.0
    }
}

/// What was found so far.
#[derive(Default)]
struct Differences(Vec<KeyDifference>);

/// A section that may stand several times, and what tells one from another.
struct NamedSection<T> {
    spec: &'static SectionSpec,
    name: fn(&T) -> String,
}

impl Differences {
    /// Keys of one section; those that stand for sections below are told by themselves.
    fn keys(&mut self, spec: &SectionSpec, path: &str, keys: Vec<&'static str>) {
        for name in keys.into_iter().filter(|name| !["etcd", "token"].contains(name)) {
            let effect = spec.key(name).map_or(TakesEffect::OnRestart, |key| key.effect);
            self.add(format!("{path}.{name}"), DifferenceKind::Changed, effect);
        }
    }

    /// A whole section, below which nothing is opened once.
    fn section(&mut self, key: String, is_added: bool) {
        let kind = if is_added { DifferenceKind::Added } else { DifferenceKind::Removed };
        self.add(key, kind, TakesEffect::OnReload);
    }

    fn add(&mut self, key: String, kind: DifferenceKind, effect: TakesEffect) {
        self.0.push(KeyDifference { key, kind, effect });
    }

    fn etcd(&mut self, before: &Config, new: &Config) {
        match (&before.registry.etcd, &new.registry.etcd) {
            (Some(a), Some(b)) => self.keys(&DraftEtcd::SPEC, "registry.etcd", a.differing(b)),
            (None, None) => {}
            (_, new) => self.section("registry.etcd".to_owned(), new.is_some()),
        }
    }

    /// Opened once: a section that comes or goes takes a new start too.
    fn http(&mut self, before: Option<HttpSettings>, new: Option<HttpSettings>) {
        match (before, new) {
            (Some(a), Some(b)) => self.keys(&DraftHttp::SPEC, "http", a.differing(&b)),
            (None, None) => {}
            (_, new) => {
                let is_added = new.is_some();
                let kind = if is_added { DifferenceKind::Added } else { DifferenceKind::Removed };
                self.add("http".to_owned(), kind, TakesEffect::Anew);
            }
        }
    }

    fn local_api(&mut self, before: Option<&LocalApiSettings>, new: Option<&LocalApiSettings>) {
        match (before, new) {
            (Some(a), Some(b)) => {
                self.keys(&DraftLocalApi::SPEC, "local_api", a.differing(b));
                let of = NamedSection {
                    spec: &DraftToken::SPEC,
                    name: |one: &TokenSettings| one.name.clone(),
                };
                self.named(&of, &a.tokens, &b.tokens, |a, b| a.differing(b));
            }
            (None, None) => {}
            (_, new) => self.section("local_api".to_owned(), new.is_some()),
        }
    }

    /// Those that are there no more, then those that are new or changed in the order of the file.
    fn named<T>(
        &mut self,
        of: &NamedSection<T>,
        before: &[T],
        new: &[T],
        differing: fn(&T, &T) -> Vec<&'static str>,
    ) {
        let path = |name: &str| format!("{}[{name}]", of.spec.name);
        let known: BTreeMap<String, &T> = before.iter().map(|one| ((of.name)(one), one)).collect();
        let names: BTreeSet<String> = new.iter().map(of.name).collect();
        for gone in before.iter().map(of.name).filter(|name| !names.contains(name)) {
            self.section(path(&gone), false);
        }
        for one in new {
            let name = (of.name)(one);
            match known.get(&name) {
                Some(before) => self.keys(of.spec, &path(&name), differing(before, one)),
                None => self.section(path(&name), true),
            }
        }
    }
}

/// How the file on disk stands to what is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileStanding {
    /// It means the same.
    InForce,
    /// A reload has refused what stands there, for this reason.
    Refused(String),
    /// It is no configuration: the first mistake, and how many there are.
    Broken(String),
    /// It is another one.
    Differs(Vec<KeyDifference>),
    /// It cannot be read.
    Unreadable(String),
}
