//! A valid configuration, and the way from a text to it.
//!
//! Syntax, values, checks, defaults, in this order; each stage reports all its mistakes. Only a text
//! that is no TOML ends before the next stage, because what can be recovered of it would give
//! mistakes that nobody made. The configuration remembers where its values stand, so that what is
//! found out later (a peer that is oneself) is reported with the same precision.

use std::collections::BTreeMap;

use toml::de::DeTable;
use zonemesh_core::finding::Code;
use zonemesh_core::keepalive::Keepalive;
use zonemesh_core::key::{WireGuardPublicKey, ZonePublicKey};

use crate::checks;
use crate::complaint::Complaint;
use crate::draft::ConfigDraft;
use crate::error::{ConfigError, ConfigErrors};
use crate::keys::{
    FederationSettings, GatewaySettings, HttpSettings, JoinSettings, LocalApiSettings, LogSettings,
    MeshSettings, PeerSettings, ProbeSettings, RegistrySettings, TunnelSettings,
    WireGuardPeerSettings, ZoneSettings,
};
use crate::left_out::{self, LeftOutPeer, PeerList};
use crate::mistakes::Mistakes;
use crate::source::FilePlace;
use crate::syntax;

/// A valid configuration of one gateway.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[zone]`: the zone this gateway speaks for.
    pub zone: ZoneSettings,
    /// `[gateway]`: this machine.
    pub gateway: GatewaySettings,
    /// `[tunnel]`: the WireGuard side.
    pub tunnel: TunnelSettings,
    /// `[keepalive]`: what keeps quiet paths open; obeys the law of `zonemesh_core::keepalive`.
    pub keepalive: Keepalive,
    /// `[probes]`: how the paths to the peers are watched.
    pub probes: ProbeSettings,
    /// `[registry]`: the exchange of zone records inside the tunnels.
    pub registry: RegistrySettings,
    /// `[mesh]`: how a managed mesh spreads its registry.
    pub mesh: MeshSettings,
    /// `[join]`: where zones that this gateway has invited call.
    pub join: JoinSettings,
    /// `[local_api]`: what the zone's own VMs talk to; absent if the section is.
    pub local_api: Option<LocalApiSettings>,
    /// `[[federation]]`: the federations whose CA this gateway holds.
    pub federations: Vec<FederationSettings>,
    /// `[[peer]]`: the other zones.
    pub peers: Vec<PeerSettings>,
    /// `[[wireguard_peer]]`: routers and hosts that run plain WireGuard.
    pub wireguard_peers: Vec<WireGuardPeerSettings>,
    /// Sections of both kinds that cannot be used: none, unless [`Config::parse_usable`] has met one.
    pub left_out: Vec<LeftOutPeer>,
    /// `[log]`: what is written to standard error.
    pub log: LogSettings,
    /// `[http]`: two states for probes; absent if the section is.
    pub http: Option<HttpSettings>,
    origin: Origin,
}

/// The file, and the place of each key in it.
#[derive(Debug, Clone)]
struct Origin {
    file: String,
    places: BTreeMap<String, FilePlace>,
}

impl Config {
    /// Most bytes of a configuration file; a peer has some 300. Who reads one need not read more
    /// than one byte beyond.
    pub const MAX_BYTES: usize = syntax::MAX_BYTES;

    /// Reads the text of a configuration file; `file_name` only stands in messages.
    ///
    /// # Errors
    /// All mistakes of the file, each with its place, what was expected and the way out.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut config = Self::parse_usable(text, file_name)?;
        let mistakes = left_out::mistakes_of(std::mem::take(&mut config.left_out));
        ConfigErrors::unless_empty(Some(config), mistakes)
    }

    /// Reads it as far as a gateway can start with it: `[[peer]]` sections that cannot be used are left
    /// out and told ([`Config::left_out`]), if there are others and no mistake elsewhere; so are
    /// `[[wireguard_peer]]` sections, also where there is no other.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse_usable(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        let mut mistakes = Mistakes::new(text, file_name);
        let (file, syntax_errors) = DeTable::parse_recoverable(text);
        if !syntax_errors.is_empty() {
            syntax::report(&mut mistakes, text, &syntax_errors);
            return ConfigErrors::unless_empty(None, mistakes.into_parts().0);
        }
        let mut draft = ConfigDraft::read(&mut mistakes, file.get_ref());
        checks::run(&draft, &mut mistakes);
        let (errors, mut places) = mistakes.into_parts();
        let (errors, left_out) = left_out::split(&mut draft, errors, &mut places);
        let file = file_name.to_owned();
        let config = finish(draft, Origin { file, places });
        ConfigErrors::unless_empty(config.map(|config| Self { left_out, ..config }), errors)
    }

    /// Reads the bytes of a configuration file, as [`Config::parse`] reads its text.
    ///
    /// # Errors
    /// All mistakes of the file; one, with its line, if it is no UTF-8, and one if it has more than
    /// [`Config::MAX_BYTES`].
    pub fn parse_bytes(bytes: &[u8], file_name: &str) -> Result<Self, ConfigErrors> {
        syntax::check_size(bytes, file_name)?;
        Self::parse(syntax::utf8(bytes, file_name)?, file_name)
    }

    /// Reads the bytes of a configuration file, as [`Config::parse_usable`] reads its text.
    ///
    /// # Errors
    /// As [`Config::parse_bytes`].
    pub fn parse_bytes_usable(bytes: &[u8], file_name: &str) -> Result<Self, ConfigErrors> {
        syntax::check_size(bytes, file_name)?;
        Self::parse_usable(syntax::utf8(bytes, file_name)?, file_name)
    }

    /// Leaves the `[[peer]]` of this number out, as `found` stands at its `key`.
    pub fn leave_out(&mut self, index: usize, key: &str, found: &str) {
        let (section, mistake) = self.left_out_at(PeerList::Peers, index, key, found);
        self.left_out.push(LeftOutPeer::of_settings(self.peers.remove(index), mistake, section));
    }

    /// The same of a `[[wireguard_peer]]`.
    pub fn leave_out_wireguard_peer(&mut self, index: usize, key: &str, found: &str) {
        let (section, mistake) = self.left_out_at(PeerList::WireGuardPeers, index, key, found);
        let peer = self.wireguard_peers.remove(index);
        self.left_out.push(LeftOutPeer::of_wireguard_peer(peer, mistake, section));
    }

    /// Which of the file's sections it is, and what is told of it.
    fn left_out_at(
        &mut self,
        list: PeerList,
        index: usize,
        key: &str,
        found: &str,
    ) -> (usize, ConfigError) {
        let place = self.place(&format!("{list}[{index}].{key}"));
        let place = place.unwrap_or(FilePlace { line: 1, column: 1 });
        let section = left_out::in_file(list, index, &self.left_out);
        let key = format!("{list}[{section}].{key}");
        let mistake = left_out::unusable(&self.origin.file, place, &key, found);
        left_out::close_gap(&mut self.origin.places, list, index);
        (section, mistake)
    }

    /// Where the value of a dotted key stands in the file, or `None` where it is a default.
    ///
    /// ```
    /// # let text = include_str!("../../../configs/zonemesh.example.toml");
    /// # let config = zonemesh_config::Config::parse(text, "zonemesh.toml").unwrap();
    /// assert!(config.place("peer[0].zone_key").is_some());
    /// ```
    #[must_use]
    pub fn place(&self, key: &str) -> Option<FilePlace> {
        self.origin.places.get(key).copied()
    }

    /// The file and, where the key stands in it, its line: the opening of a message about it.
    #[must_use]
    pub fn describe_place(&self, key: &str) -> String {
        match self.place(key) {
            Some(place) => format!("{}:{}:{}: {key}", self.origin.file, place.line, place.column),
            None => format!("{}: {key} (its default)", self.origin.file),
        }
    }

    /// Checks what needs this gateway's own keys: that no peer of either kind carries one of them.
    ///
    /// # Errors
    /// One [`ConfigError`](crate::ConfigError) per peer key that is an own key.
    pub fn check_keys(
        &self,
        own_wg: WireGuardPublicKey,
        own_zone: ZonePublicKey,
    ) -> Result<(), ConfigErrors> {
        let mut errors = Vec::new();
        for (index, peer) in self.peers.iter().enumerate() {
            let clashes = [
                ("wireguard_key", "WireGuard", peer.wireguard_key == own_wg),
                ("zone_key", "zone", peer.zone_key == own_zone),
            ];
            for (key, what, _) in clashes.iter().filter(|(_, _, clash)| *clash) {
                let complaint = Complaint::new(
                    format!("found this gateway's own {what} key"),
                    format!("the key of zone {:?}", peer.zone.as_str()),
                    "put the peer's public key here, or remove the peer: a zone is not its own peer",
                )
                .coded(Code::ConfigConflict);
                let key = format!("peer[{index}].{key}");
                let place = self.place(&key).unwrap_or(FilePlace { line: 1, column: 1 });
                errors.push(complaint.at(&self.origin.file, place, &key));
            }
        }
        for (index, peer) in self.wireguard_peers.iter().enumerate() {
            if peer.public_key == own_wg {
                let complaint = Complaint::new(
                    "found this gateway's own WireGuard key",
                    format!("the key of {:?}", peer.name.as_str()),
                    "put the key of the other end here: `wg show INTERFACE public-key` there",
                )
                .coded(Code::ConfigConflict);
                let key = format!("wireguard_peer[{index}].public_key");
                let place = self.place(&key).unwrap_or(FilePlace { line: 1, column: 1 });
                errors.push(complaint.at(&self.origin.file, place, &key));
            }
        }
        ConfigErrors::unless_empty(Some(()), errors)
    }

    /// The mistake that `key` names a file which cannot be used.
    #[must_use]
    pub fn unusable_file(&self, key: &str, found: impl Into<String>) -> ConfigErrors {
        let fix = "put the file there, or take this line out";
        let complaint = Complaint::new(found, "a key file", fix).coded(Code::FileUnusable);
        let place = self.place(key).unwrap_or(FilePlace { line: 1, column: 1 });
        ConfigErrors::one(complaint.at(&self.origin.file, place, key))
    }
}

/// The typed configuration, or `None` if a value is missing, which has been reported.
fn finish(draft: ConfigDraft, origin: Origin) -> Option<Config> {
    let known = &draft.known();
    Some(Config {
        zone: draft.zone.settings(known)?,
        gateway: draft.gateway.settings(known)?,
        tunnel: draft.tunnel.settings(known)?,
        keepalive: draft.keepalive.settings(known)?.into(),
        probes: draft.probes.settings(known)?,
        registry: draft.registry.settings(known)?,
        mesh: draft.mesh.settings(known)?,
        join: draft.join.settings(known)?,
        local_api: match draft.local_api {
            Some(draft) => Some(draft.settings(known)?),
            None => None,
        },
        federations: draft.federations.into_iter().filter_map(|f| f.settings(known)).collect(),
        peers: draft.peers.into_iter().filter_map(|peer| peer.settings(known)).collect(),
        wireguard_peers: draft
            .wireguard_peers
            .into_iter()
            .filter_map(|peer| peer.settings(known))
            .collect(),
        left_out: Vec::new(),
        log: draft.log.settings(known)?,
        http: match draft.http {
            Some(draft) => Some(draft.settings(known)?),
            None => None,
        },
        origin,
    })
}
