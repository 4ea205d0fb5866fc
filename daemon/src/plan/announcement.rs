//! What configuration and disk make this zone say about itself, and whom it believes.

use std::net::IpAddr;

use ipnet::IpNet;
use zonemesh_config::{Config, Endpoint, PeerSettings};
use zonemesh_core::key::{WireGuardKeys, ZonePublicKey};
use zonemesh_core::member::Member;
use zonemesh_core::prefix;
use zonemesh_core::record::{
    CaSet, Gateway, KeyProof, Lane, ProtocolRange, RecordContent, SuperLink,
};
use zonemesh_core::registry::{Registry, Standing};

/// The zones of the mesh with their bounds: this one and its peers.
pub(crate) fn members(config: &Config, own_key: ZonePublicKey) -> Vec<Member> {
    let own = Member {
        zone: config.zone.name.clone(),
        key: own_key,
        prefixes: config.zone.prefixes.clone(),
        tunnel_ips: config.tunnel.addresses.clone(),
    };
    let of = |peer: &PeerSettings| Member {
        zone: peer.zone.clone(),
        key: peer.zone_key,
        prefixes: peer.prefixes.clone(),
        tunnel_ips: peer.tunnel_addresses.clone(),
    };
    std::iter::once(own).chain(config.peers.iter().map(of)).collect()
}

/// What a configuration has that its zone is not granted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) tunnel_ips: Vec<IpAddr>,
}

impl Beyond {
    /// Without bounds nothing is beyond them.
    pub(crate) fn of(config: &Config, bounds: Option<&Member>) -> Self {
        let Some(bounds) = bounds else { return Self::default() };
        let is_beyond = |net: &&IpNet| !prefix::covered(net, &bounds.prefixes);
        let is_unknown = |ip: &&IpAddr| !bounds.tunnel_ips.contains(ip);
        Self {
            prefixes: config.zone.prefixes.iter().filter(is_beyond).copied().collect(),
            tunnel_ips: config.tunnel.addresses.iter().filter(is_unknown).copied().collect(),
        }
    }
}

/// What this zone may claim, if it is a member with this gateway's key.
pub(crate) fn bounds(registry: &Registry) -> Option<&Member> {
    let own = || registry.members().find(|member| member.zone == *registry.zone());
    (registry.standing() == Standing::Member).then(own).flatten()
}

/// What this zone says as configuration and disk say.
pub(crate) struct Announcement<'a> {
    pub(crate) config: &'a Config,
    pub(crate) keys: WireGuardKeys,
    /// Before the tunnel is there they are what they were.
    pub(crate) lanes: Option<Vec<Lane>>,
    /// Of this gateway's keys, on all lanes that it may have.
    pub(crate) proofs: Vec<KeyProof>,
    /// The CAs that this gateway holds.
    pub(crate) ca_sets: Vec<CaSet>,
    /// What this zone may claim: others refuse all of a record that claims more.
    pub(crate) bounds: Option<&'a Member>,
}

impl Announcement<'_> {
    /// Changes what the zone has said until now. SuperLinks that registered before a restart stay, if
    /// their federation and address are still this zone's.
    pub(crate) fn apply(self, draft: &mut RecordContent) {
        let Self { config, keys, lanes, proofs, ca_sets, bounds } = self;
        let beyond = Beyond::of(config, bounds);
        let own = gateway(config, keys);
        let is_own = |g: &&Gateway| g.name == own.name || g.wireguard_key == own.wireguard_key;
        let before = draft.gateways.iter().find(is_own).map(|gateway| gateway.lanes.clone());
        let lanes = lanes.or(before).unwrap_or_default();
        let gateway = Gateway { lanes, ..own };
        let proof = |key| proofs.iter().find(|proof| proof.key == key).copied();
        let proofs = gateway.wireguard_keys().filter_map(proof).collect();
        let mut gateway = Gateway { proofs, ..gateway };
        gateway.tunnel_ips.retain(|ip| !beyond.tunnel_ips.contains(ip));
        draft.gateways = vec![gateway];
        draft.prefixes.clone_from(&config.zone.prefixes);
        draft.prefixes.retain(|net| !beyond.prefixes.contains(net));
        draft.protocol = ProtocolRange::CURRENT;
        draft.release = Some(env!("CARGO_PKG_VERSION").to_owned());
        if config.local_api.is_none() {
            draft.supernodes.clear();
        }
        let prefixes = draft.prefixes.clone();
        draft.superlinks.retain(|superlink| belongs(config, &prefixes, superlink));
        // A CA whose files cannot be read stays announced as it was.
        draft.ca_sets.retain(|set| {
            !ca_sets.iter().any(|held| held.federation == set.federation)
                && config.federations.iter().any(|held| held.name == set.federation)
        });
        draft.ca_sets.extend(ca_sets);
        draft.ca_sets.sort_by(|a: &CaSet, b: &CaSet| a.federation.cmp(&b.federation));
    }
}

fn gateway(config: &Config, keys: WireGuardKeys) -> Gateway {
    Gateway {
        name: config.gateway.name.clone(),
        wireguard_key: keys.current,
        next_wireguard_key: keys.next,
        lanes: Vec::new(),
        proofs: Vec::new(),
        further_endpoints: Vec::new(),
        endpoints: config.gateway.endpoints.iter().map(Endpoint::to_string).collect(),
        tunnel_ips: config.tunnel.addresses.clone(),
        registry_port: config.registry.port,
    }
}

fn belongs(config: &Config, prefixes: &[IpNet], superlink: &SuperLink) -> bool {
    let held = config.federations.iter().any(|held| held.name == superlink.federation);
    let inside = |ip| prefix::contains(prefixes, ip);
    held && superlink.addresses.iter().all(inside)
}

#[cfg(test)]
mod tests {
    use zonemesh_core::key::{WireGuardPrivateKey, WireGuardPublicKey, ZoneIdentity};
    use zonemesh_core::record::{CaCertificate, CaState, CertificateDer};

    use super::*;

    const KEYS: WireGuardKeys = WireGuardKeys { current: WireGuardPublicKey([1; 32]), next: None };
    const LANE: Lane = Lane {
        wireguard_key: WireGuardPublicKey([2; 32]),
        next_wireguard_key: None,
        port_offset: 1,
    };

    fn config(federations: &[&str]) -> Config {
        let held: String =
            federations.iter().map(|name| format!("[[federation]]\nname = \"{name}\"\n")).collect();
        let text = format!(
            "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.1.0/24\"]\n\
             [tunnel]\naddresses = [\"10.255.0.1\"]\n{held}"
        );
        Config::parse(&text, "test").unwrap()
    }

    fn ca(federation: &str, name: &str) -> CaSet {
        let length = u8::try_from(name.len()).unwrap();
        let der = [&[0x30, length], name.as_bytes()].concat();
        let certificate = CertificateDer::new(der.into()).unwrap();
        let certificates = vec![CaCertificate { certificate, state: CaState::Active }];
        CaSet { federation: federation.parse().unwrap(), certificates }
    }

    fn said(
        config: &Config,
        lanes: Option<Vec<Lane>>,
        ca_sets: Vec<CaSet>,
        draft: &mut RecordContent,
    ) {
        let proofs = Vec::new();
        Announcement { config, keys: KEYS, lanes, proofs, ca_sets, bounds: None }.apply(draft);
    }

    fn nothing() -> RecordContent {
        RecordContent {
            gateways: Vec::new(),
            prefixes: Vec::new(),
            superlinks: Vec::new(),
            ca_sets: Vec::new(),
            protocol: ProtocolRange::CURRENT,
            ..RecordContent::default()
        }
    }

    #[test]
    fn before_the_tunnel_is_there_its_lanes_are_what_they_were() {
        let (config, mut draft) = (config(&[]), nothing());
        said(&config, Some(vec![LANE]), Vec::new(), &mut draft);
        assert_eq!(draft.gateways[0].lanes, [LANE]);
        said(&config, None, Vec::new(), &mut draft);
        assert_eq!(draft.gateways[0].lanes, [LANE]);
        said(&config, Some(Vec::new()), Vec::new(), &mut draft);
        assert_eq!(draft.gateways[0].lanes, []);
    }

    #[test]
    fn what_is_not_granted_is_left_out_of_what_the_zone_says() {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.1.0/24\", \"10.77.0.0/16\"]\n\
            [tunnel]\naddresses = [\"10.255.0.1\", \"10.255.1.1\"]\n";
        let config = Config::parse(text, "test").unwrap();
        let bounds = Member {
            zone: config.zone.name.clone(),
            key: ZoneIdentity::from_seed(&[1; 32]).public_key(),
            prefixes: vec!["10.10.0.0/16".parse().unwrap()],
            tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
        };
        let beyond = Beyond {
            prefixes: vec!["10.77.0.0/16".parse().unwrap()],
            tunnel_ips: vec!["10.255.1.1".parse().unwrap()],
        };
        assert_eq!(Beyond::of(&config, Some(&bounds)), beyond);
        assert_eq!(Beyond::of(&config, None), Beyond::default());
        let mut draft = nothing();
        let (config, bounds) = (&config, Some(&bounds));
        let (lanes, proofs, ca_sets) = (None, Vec::new(), Vec::new());
        Announcement { config, keys: KEYS, lanes, proofs, ca_sets, bounds }.apply(&mut draft);
        assert_eq!(draft.prefixes, ["10.10.1.0/24".parse().unwrap()]);
        assert_eq!(draft.gateways[0].tunnel_ips, ["10.255.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn each_key_that_is_named_is_proved_and_no_other() {
        let zone = ZoneIdentity::from_seed(&[1; 32]).public_key();
        let private = [1, 2, 3, 4].map(|byte| WireGuardPrivateKey::from_bytes([byte; 32]));
        let [current, next, of_lane, _] = private.each_ref().map(WireGuardPrivateKey::public_key);
        let lane = Lane { wireguard_key: of_lane, ..LANE };
        let proofs = private.iter().map(|key| KeyProof::make(key, &zone, "berlin-gw1")).collect();
        let config = config(&[]);
        let announcement = Announcement {
            config: &config,
            keys: WireGuardKeys { current, next: Some(next) },
            lanes: Some(vec![lane]),
            proofs,
            ca_sets: Vec::new(),
            bounds: None,
        };
        let mut draft = nothing();
        announcement.apply(&mut draft);
        let proved: Vec<_> = draft.gateways[0].proofs.iter().map(|proof| proof.key).collect();
        assert_eq!(proved, [current, next, of_lane]);
    }

    #[test]
    fn a_ca_that_cannot_be_read_stays_announced_and_one_that_is_not_held_any_more_goes() {
        let mut draft = nothing();
        let both = vec![ca("health-eu", "old"), ca("finance-eu", "old")];
        said(&config(&["health-eu", "finance-eu"]), None, both, &mut draft);
        let held = config(&["health-eu", "finance-eu"]);
        said(&held, None, vec![ca("finance-eu", "new")], &mut draft);
        assert_eq!(draft.ca_sets, [ca("finance-eu", "new"), ca("health-eu", "old")]);
        said(&config(&["finance-eu"]), None, Vec::new(), &mut draft);
        assert_eq!(draft.ca_sets, [ca("finance-eu", "new")]);
    }

    #[test]
    fn a_superlink_of_a_federation_or_address_that_is_not_held_any_more_is_forgotten() {
        let superlink = |federation: &str, address: &str| SuperLink {
            tls_name: "superlink.example".to_owned(),
            federation: federation.parse().unwrap(),
            addresses: vec![address.parse().unwrap()],
            fleet_port: 9092,
            control_port: 9093,
            flower_version: "1.25.0".to_owned(),
            transport: zonemesh_core::record::FlowerTransport::Grpc,
            readiness: zonemesh_core::record::Readiness::Ready,
            clock_offset_ms: 0,
            admitted: None,
            dns_name: None,
            cas: Vec::new(),
        };
        let mut draft = nothing();
        draft.superlinks = vec![
            superlink("health-eu", "10.10.1.5"),
            superlink("health-eu", "10.99.1.5"),
            superlink("finance-eu", "10.10.1.6"),
        ];
        said(&config(&["health-eu"]), None, Vec::new(), &mut draft);
        assert_eq!(draft.superlinks, [superlink("health-eu", "10.10.1.5")]);
    }
}
