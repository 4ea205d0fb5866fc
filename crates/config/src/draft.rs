//! What a person wrote: every readable value with its place, nothing derived yet.
//!
//! The stage between the text and the settings. A value that is missing or unreadable has been
//! reported and is absent here, so the checks between sections still run on the rest.

use toml::de::DeTable;

use crate::defaults::{self, Known};
use crate::keys::{
    DraftFederation, DraftGateway, DraftHttp, DraftJoin, DraftKeepalive, DraftLocalApi, DraftLog,
    DraftMesh, DraftPeer, DraftProbes, DraftRegistry, DraftTunnel, DraftWireGuardPeer, DraftZone,
    SECTIONS,
};
use crate::mistakes::Mistakes;
use crate::reader::SectionReader;
use crate::schema::KeySpec;
use crate::value;

/// The sections of a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigDraft {
    pub(crate) zone: DraftZone,
    pub(crate) gateway: DraftGateway,
    pub(crate) tunnel: DraftTunnel,
    pub(crate) keepalive: DraftKeepalive,
    pub(crate) probes: DraftProbes,
    pub(crate) registry: DraftRegistry,
    pub(crate) mesh: DraftMesh,
    pub(crate) join: DraftJoin,
    pub(crate) local_api: Option<DraftLocalApi>,
    pub(crate) federations: Vec<DraftFederation>,
    pub(crate) peers: Vec<DraftPeer>,
    pub(crate) wireguard_peers: Vec<DraftWireGuardPeer>,
    pub(crate) log: DraftLog,
    pub(crate) http: Option<DraftHttp>,
}

impl ConfigDraft {
    pub(crate) fn read<'t>(mistakes: &mut Mistakes<'t>, file: &DeTable<'t>) -> Self {
        let mut root = SectionReader::root(mistakes, &SECTIONS, file);
        let zone = root.required_table(DraftZone::SPEC).map(DraftZone::read);
        let gateway = root.table(DraftGateway::SPEC).map(DraftGateway::read);
        let tunnel = root.table(DraftTunnel::SPEC).map(DraftTunnel::read);
        let keepalive = root.table(DraftKeepalive::SPEC).map(DraftKeepalive::read);
        let probes = root.table(DraftProbes::SPEC).map(DraftProbes::read);
        let registry = root.table(DraftRegistry::SPEC).map(DraftRegistry::read);
        let mesh = root.table(DraftMesh::SPEC).map(DraftMesh::read);
        let join = root.table(DraftJoin::SPEC).map(DraftJoin::read);
        Self {
            zone: zone.unwrap_or_default(),
            gateway: gateway.unwrap_or_default(),
            tunnel: tunnel.unwrap_or_default(),
            keepalive: keepalive.unwrap_or_default(),
            probes: probes.unwrap_or_default(),
            registry: registry.unwrap_or_default(),
            mesh: mesh.unwrap_or_default(),
            join: join.unwrap_or_default(),
            local_api: root.table(DraftLocalApi::SPEC).map(DraftLocalApi::read),
            federations: root.tables(DraftFederation::SPEC, DraftFederation::read),
            peers: root.tables(DraftPeer::SPEC, DraftPeer::read),
            wireguard_peers: root.tables(DraftWireGuardPeer::SPEC, DraftWireGuardPeer::read),
            log: root.table(DraftLog::SPEC).map(DraftLog::read).unwrap_or_default(),
            http: root.table(DraftHttp::SPEC).map(DraftHttp::read),
        }
    }

    /// What defaults follow from.
    pub(crate) fn known(&self) -> Known {
        let zone = self.zone.name.as_ref().map_or_else(String::new, |zone| zone.value.to_string());
        let state_dir = match &self.gateway.state_dir {
            Some(given) => Some(given.value.clone()),
            None => DraftGateway::SPEC
                .key("state_dir")
                .and_then(KeySpec::default_toml)
                .and_then(|toml| defaults::value_of(toml, &Known::default(), value::file)),
        };
        Known { zone, state_dir: state_dir.unwrap_or_default() }
    }

    /// The name of a gateway that was not named.
    pub(crate) fn default_gateway_name(&self) -> String {
        let toml = DraftGateway::SPEC.key("name").and_then(KeySpec::default_toml);
        self.known().fill(toml.unwrap_or_default().trim_matches('"'))
    }
}
