//! The join service, on this gateway's outer address while its mesh is a managed one.
//!
//! Anyone on the outer network may call: requests are small, counted and rate limited. A caller that
//! cannot prove an invitation's secret joins nothing; one that knows a zone's key is told whether
//! that was revoked. It shows the zone's certificate; the caller has none that anybody knows yet.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tonic::{Request, Response, Status};
use zonemesh_api::serve::{self, Door, Incoming};
use zonemesh_api::v1::join_server::{Join, JoinServer};
use zonemesh_api::v1::{RedeemReply, RedeemRequest, StandingReply, StandingRequest};
use zonemesh_api::wire::standing::{asked_key, standing_reply};
use zonemesh_core::finding::{Code, Evidence, Finding, Subject};
use zonemesh_core::invitation::Redemption;
use zonemesh_core::keepalive::Keepalive;

use crate::administration::Administration;
use crate::administration::listening::Listening;
use crate::facts::rate_limits::{
    ConnectionLimiter, LimitedCall, Rate, RateLimiter, RefusedCalls, Slots,
};

/// Requests of one network, and of all.
const EACH: Rate = Rate { burst: 10.0, per_second: 1.0 };
const ALL: Rate = Rate { burst: 50.0, per_second: 10.0 };
/// Most connections of one network, and of all; and new ones of one network.
const CONNECTIONS: (usize, usize) = (8, 128);
const NEW_CONNECTIONS: Rate = Rate { burst: 20.0, per_second: 2.0 };
/// Pause before a port that was taken is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Serves as soon as the mesh is a managed one, until it is dropped. A port that cannot be had is said
/// and tried again: it stops nothing else.
pub(crate) async fn run(
    administration: Arc<Administration>,
    tls: Arc<rustls::ServerConfig>,
    refusals: Arc<RefusedCalls>,
) -> anyhow::Result<()> {
    let mut listening = administration.listening.subscribe();
    listening.wait_for(|state| *state != Listening::Off).await?;
    let address = administration.config().join.listen;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) => {
                tracing::error!(%address, %error, "the join service cannot listen (join.listen), trying again");
                let deaf = Finding::new(Code::JoinNotListening, Subject::Here)
                    .with(Evidence::Address(address.to_string()))
                    .with(Evidence::Reason(error.to_string()));
                administration.ledger.findings().raise(deaf);
                let reason = format!("{address} (join.listen): {error}");
                administration.listening.send_replace(Listening::Failed(reason));
                listening.mark_unchanged();
                let _again_or_time = tokio::time::timeout(RETRY, listening.changed()).await;
            }
        }
    };
    tracing::info!(%address, "join service");
    administration.ledger.findings().clear(Code::JoinNotListening, &Subject::Here);
    administration.listening.send_replace(Listening::On);
    let door = JoinDoor::new(refusals.clone());
    let service = JoinService {
        administration,
        each: RateLimiter::new(EACH),
        all: RateLimiter::new(ALL),
        log: RateLimiter::new(Rate::LOG),
        refusals,
    };
    let service = JoinServer::new(service).max_decoding_message_size(serve::SMALL_REQUEST);
    serve::strangers(&Keepalive::DEFAULT)
        .add_service(service)
        .serve_with_incoming(Incoming::through(Arc::new(door), listener, tls))
        .await?;
    Ok(())
}

/// Counts callers by their [`network`].
struct JoinDoor(ConnectionLimiter);

impl JoinDoor {
    fn new(refusals: Arc<RefusedCalls>) -> Self {
        Self(ConnectionLimiter {
            rate: RateLimiter::new(NEW_CONNECTIONS),
            slots: Slots::new(CONNECTIONS.0, CONNECTIONS.1),
            refusals,
            counted_as: LimitedCall::JoinConnections,
        })
    }
}

impl Door for JoinDoor {
    fn enter(&self, caller: IpAddr) -> Option<Box<dyn Send>> {
        self.0.enter(network(caller))
    }
}

/// Who counts as one caller outside: an IPv4 address, or 64 bits of an IPv6 one, as whoever has one
/// of those addresses has all of them.
fn network(caller: IpAddr) -> IpAddr {
    match caller.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

struct JoinService {
    administration: Arc<Administration>,
    each: RateLimiter<Option<IpAddr>>,
    all: RateLimiter<()>,
    log: RateLimiter<Option<IpAddr>>,
    refusals: Arc<RefusedCalls>,
}

#[tonic::async_trait]
impl Join for JoinService {
    async fn redeem(
        &self,
        request: Request<RedeemRequest>,
    ) -> Result<Response<RedeemReply>, Status> {
        let from = self.admit(&request)?;
        let asked = Redemption::try_from(request.into_inner())?;
        let answer = self.administration.redeem(asked).await.map_err(|refused| {
            if self.log.allow(&from, Instant::now()) {
                let caller = from.map(|from| from.to_string()).unwrap_or_default();
                tracing::warn!(caller, reason = %refused, "refused to redeem an invitation");
            }
            Status::from(refused)
        })?;
        Ok(Response::new(answer.into()))
    }

    async fn standing(
        &self,
        request: Request<StandingRequest>,
    ) -> Result<Response<StandingReply>, Status> {
        self.admit(&request)?;
        let key = asked_key(request.get_ref())?;
        Ok(Response::new(standing_reply(&self.administration.decided(&key))))
    }
}

impl JoinService {
    /// The caller's network, if it may ask now: from one network, and from all, as addresses are
    /// cheap outside.
    fn admit<T>(&self, request: &Request<T>) -> Result<Option<IpAddr>, Status> {
        let from = serve::caller(request).map(|caller| network(caller.address.ip()));
        let now = Instant::now();
        if self.each.allow(&from, now) && self.all.allow(&(), now) {
            return Ok(from);
        }
        let caller = from.map(|from| from.to_string()).unwrap_or_default();
        self.refusals.count(LimitedCall::JoinRequests, &caller);
        Err(Status::resource_exhausted("too many requests: try again in a few seconds"))
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_config::Config;
    use zonemesh_core::gateway::GatewayId;
    use zonemesh_core::invitation::JoinerKeys;
    use zonemesh_core::key::{WireGuardKeys, WireGuardPublicKey, ZoneIdentity};
    use zonemesh_core::membership::Membership;
    use zonemesh_core::registry::Standing;

    use super::*;
    use crate::act::standing::ask;
    use crate::administration::{InvitationRequest, OwnKeys};
    use crate::facts::certificates::OwnLeaf;
    use crate::facts::disk::writer;
    use crate::facts::ledger::{Ledger, OwnZone};
    use crate::plan::{PeerPlan, announcement, peers::GatewayRole};

    /// Of this test alone: a join port is always 51823 for who asks.
    const OUTER: &str = "127.40.0.1";

    /// What answers and asks at one gateway.
    struct Party {
        administration: Arc<Administration>,
        ledger: Arc<Ledger>,
        leaf: OwnLeaf,
        _folder: tempfile::TempDir,
    }

    fn party(name: &str, number: u8) -> Party {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[zone]\nname = {name:?}\nprefixes = [\"10.10.{number}.0/24\"]\n\
             [gateway]\nendpoints = [\"{OUTER}:51820\"]\nstate_dir = {:?}\n\
             [tunnel]\naddresses = [\"10.255.0.{number}\"]\n[join]\nlisten = \"{OUTER}:51823\"\n",
            folder.path()
        );
        let config = Arc::new(Config::parse(&text, "test").unwrap());
        let (zone, identity) = (config.zone.name.clone(), ZoneIdentity::from_seed(&[number; 32]));
        let leaf = OwnLeaf::issue(&zone, &identity, &config.tunnel.addresses).unwrap();
        let (key, writer) = (identity.public_key(), writer());
        let wireguard = WireGuardKeys { current: WireGuardPublicKey([number; 32]), next: None };
        let members = announcement::members(&config, key);
        let gateway = config.gateway.name.clone();
        let own = OwnZone { zone, gateway, identity, members };
        let ledger = Ledger::open(own, folder.path(), writer.clone()).unwrap();
        let own_keys = OwnKeys::new(key, wireguard);
        let administration =
            Administration::open(config, ledger.clone(), own_keys, writer).unwrap();
        Party { administration: Arc::new(administration), ledger, leaf, _folder: folder }
    }

    /// Berlin's mesh, which madrid has joined.
    async fn joined() -> [Party; 2] {
        let (berlin, madrid) = (party("berlin", 1), party("madrid", 2));
        let owner = zonemesh_core::membership::AuthorityIdentity::from_seed(&[77; 32]);
        let owners = [owner.public_key()].into();
        berlin.administration.found(owners, [].into(), 1, false).await.unwrap();
        let wanted = InvitationRequest {
            zone: "madrid".parse().unwrap(),
            prefixes: vec!["10.10.2.0/24".parse().unwrap()],
            tunnel_ips: Vec::new(),
            valid_for_ms: 0,
        };
        let invitation = berlin.administration.invite(wanted).await.unwrap();
        let own = madrid.administration.own_keys();
        let keys = JoinerKeys { zone_key: own.zone_key, wireguard_key: own.wireguard().newest() };
        let asked = invitation.redemption(&keys, Vec::new());
        let answer = berlin.administration.redeem(asked).await.unwrap();
        let membership = Membership::from_items(&invitation.mesh, None, answer.trust).unwrap();
        madrid.administration.join(&invitation, membership).await.unwrap();
        [berlin, madrid]
    }

    #[tokio::test]
    async fn a_zone_that_is_out_asks_at_the_join_port_and_is_told() {
        let [berlin, madrid] = joined().await;
        let tls = zonemesh_pki::join_server_config(berlin.leaf.current()).unwrap();
        let mut serving = std::pin::pin!(run(berlin.administration.clone(), tls, Arc::default()));
        let peer = PeerPlan {
            id: GatewayId::assumed("berlin".parse().unwrap()),
            role: GatewayRole::Active,
            wireguard_key: WireGuardPublicKey([1; 32]),
            next_key: None,
            lanes: Vec::new(),
            endpoints: vec![format!("{OUTER}:51820").parse().unwrap()],
            prefixes: Vec::new(),
            tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
            registry_port: 51_821,
            is_neighbour: true,
            keeps_alive: true,
        };
        let asking = async {
            let mut on = berlin.administration.listening.subscribe();
            on.wait_for(|state| *state == Listening::On).await.unwrap();
            let of_a_member = ask(&madrid.ledger, &madrid.leaf, &peer).await.unwrap();
            assert!(of_a_member.is_empty(), "{of_a_member:?}");
            let zone = "madrid".parse().unwrap();
            berlin.administration.revoke(&zone, "stolen").await.unwrap();
            let told = ask(&madrid.ledger, &madrid.leaf, &peer).await.unwrap();
            // Another zone's certificate is not that of berlin.
            let id = GatewayId::assumed(zone);
            let other = PeerPlan { id, ..peer.clone() };
            assert!(ask(&madrid.ledger, &madrid.leaf, &other).await.is_err());
            told
        };
        let told = tokio::select! {
            told = asking => told,
            ended = &mut serving => panic!("{ended:?}"),
        };
        assert_eq!(madrid.ledger.read(|registry| registry.standing()), Standing::Member);
        madrid.ledger.accept_trust::<std::io::Error>(told, |_, _| Ok(())).await.unwrap();
        assert_eq!(madrid.ledger.read(|registry| registry.standing()), Standing::Revoked);
        let said = madrid.ledger.read(|registry| registry.own_revocation().unwrap());
        assert_eq!((said.revocation.reason.as_str(), said.signers.len()), ("stolen", 1));
    }

    fn places(callers: impl Iterator<Item = IpAddr>) -> usize {
        let door = JoinDoor::new(Arc::default());
        let held: Vec<_> = callers.filter_map(|caller| door.enter(caller)).collect();
        held.len()
    }

    #[test]
    fn all_addresses_of_one_network_have_the_places_of_one_caller() {
        let base: Ipv6Addr = "2001:db8:0:7::".parse().unwrap();
        let within = (0..1000).map(|n| Ipv6Addr::from_bits(base.to_bits() + n).into());
        assert_eq!(places(within), CONNECTIONS.0);
        let networks = (0..1000).map(|n| Ipv6Addr::from_bits(base.to_bits() + (n << 64)).into());
        assert_eq!(places(networks), CONNECTIONS.1);
        let v4 = (0..20).map(|n| IpAddr::from([192, 0, 2, n / 10]));
        assert_eq!(places(v4), 2 * CONNECTIONS.0);
        let mapped = (0..20).map(|n| format!("::ffff:192.0.2.{}", n / 10).parse().unwrap());
        assert_eq!(places(mapped), 2 * CONNECTIONS.0);
    }
}
