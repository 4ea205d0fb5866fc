//! The door of the join service, and a joiner and its inviter over TLS on loopback.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener as PortFinder};
use std::path::Path;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zonemesh_config::Config;
use zonemesh_core::founding::{FoundedMesh, FoundingPlan, InvitedZone, PlannedZone, first_set};
use zonemesh_core::gateway::GatewayId;
use zonemesh_core::invitation::{Invitation, InvitationId, InvitationSecret, IssuedInvitation};
use zonemesh_core::key::WireGuardPublicKey;
use zonemesh_core::membership::{AuthorityIdentity, AuthorityPublicKey, Membership};
use zonemesh_core::registry::Standing;
use zonemesh_core::token::{KeptTokens, KnownToken, MAX_KNOWN, TokenHash, VmRole};
use zonemesh_pki::join_server_config;

use super::*;
use crate::act::standing::ask as asks;
use crate::administration::join::{Asking, Attempt, JoinProgress};
use crate::administration::opened::OpenedState;
use crate::administration::{InvitationRequest, Refusal};
use crate::facts::disk::writer;
use crate::facts::in_force::{ConfigInForce, PresharedKeys};
use crate::facts::ledger::now;
use crate::plan::{PeerPlan, peers::GatewayRole};

fn places(callers: impl Iterator<Item = IpAddr>) -> usize {
    let door = JoinDoor::new(ConfigInForce::smallest().changes(), Arc::default());
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

#[test]
fn who_comes_from_a_plain_wireguard_peer_is_let_in_nowhere_and_counted() {
    let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n[[wireguard_peer]]\n\
                name = \"office\"\npublic_key = \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"\n\
                allowed_ips = [\"10.10.20.0/24\", \"fd00:20::/64\"]\n";
    let config = ConfigInForce::of(zonemesh_config::Config::parse(text, "test").unwrap());
    let refusals = Arc::new(RefusedCalls::default());
    let door = JoinDoor::new(config.changes(), refusals.clone());
    let enters = |caller: &str| door.enter(caller.parse().unwrap()).is_some();
    for inside in ["10.10.20.7", "::ffff:10.10.20.7", "fd00:20::7"] {
        assert!(!enters(inside), "{inside}");
    }
    assert!(enters("203.0.113.7") && enters("2001:db8::7"));
    assert_eq!(refusals.counters(), [("plain_peer_connections", 3)]);
    config.put(
        Arc::clone(&ConfigInForce::smallest().now()),
        (*config.now()).clone(),
        PresharedKeys::default(),
    );
    assert!(enters("10.10.20.7"), "the section has gone");
}

#[test]
fn sixteen_ipv4_addresses_take_all_places_also_those_of_one_network() {
    let of_one_network =
        |count: u8| (0..count).flat_map(|n| std::iter::repeat_n(IpAddr::from([192, 0, 2, n]), 20));
    assert_eq!(places(of_one_network(15)), CONNECTIONS.1 - CONNECTIONS.0);
    assert_eq!(places(of_one_network(16)), CONNECTIONS.1);
}

/// A gateway `n`, from its disk, whose join service is at `join`.
async fn gateway(folder: &Path, n: u8, join: SocketAddr) -> OpenedState {
    let zone = ["", "berlin", "madrid"][usize::from(n)];
    let text = format!(
        "[zone]\nname = \"{zone}\"\nprefixes = [\"10.10.{n}.0/24\"]\n\
         [gateway]\nendpoints = [\"{}:5182{n}\"]\nstate_dir = {folder:?}\n\
         [join]\nlisten = \"{join}\"\n\
         [tunnel]\naddresses = [\"10.255.0.{n}\"]\n",
        join.ip()
    );
    let config = ConfigInForce::of(Config::parse(&text, "test").unwrap());
    OpenedState::open(&config, writer()).await.unwrap()
}

fn owners() -> BTreeSet<AuthorityPublicKey> {
    [AuthorityIdentity::from_seed(&[77; 32]).public_key()].into()
}

fn free_port() -> SocketAddr {
    PortFinder::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn serve(gateway: &OpenedState, tasks: &mut JoinSet<()>) {
    let tls = join_server_config(gateway.leaf.current()).unwrap();
    let service = run(gateway.administration.clone(), tls, Arc::default());
    tasks.spawn(async move { service.await.unwrap() });
}

/// Asks until the service listens.
async fn ask(joiner: &OpenedState, invitation: &Invitation) -> Result<bool, String> {
    let (sender, _steps) = mpsc::channel(16);
    let progress = JoinProgress::new(sender);
    let (administration, leaf) = (&*joiner.administration, &*joiner.leaf);
    let asking = Asking { administration, leaf, invitation, progress: &progress };
    for _ in 0..100 {
        match asking.try_redeem().await {
            Ok(believed) => {
                let zone = &administration.config().zone.name;
                let key = administration.own_keys().zone_key;
                assert!(believed.record.is_some(), "the inviter says how it is reached");
                return Ok(believed.membership.member(zone).is_some_and(|own| own.key == key));
            }
            Err(Attempt::Refused(refusal)) => return Err(refusal.to_line()),
            Err(Attempt::Unreached(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    Err("never reached".to_owned())
}

fn wanted() -> InvitationRequest {
    InvitationRequest {
        zone: "madrid".parse().unwrap(),
        prefixes: vec!["10.10.2.0/24".parse().unwrap()],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, 2])],
        federations: Vec::new(),
        tokens: Vec::new(),
        valid_for_ms: 0,
    }
}

#[tokio::test]
async fn a_joiner_is_granted_over_one_connection_and_may_ask_again() {
    let (here, there, join) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), free_port());
    let berlin = gateway(here.path(), 1, join).await;
    berlin.administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    let invitation = berlin.administration.invite(wanted()).await.unwrap();
    let madrid = gateway(there.path(), 2, free_port()).await;
    let mut tasks = JoinSet::new();
    serve(&berlin, &mut tasks);
    assert_eq!(ask(&madrid, &invitation).await, Ok(true));
    let heard = berlin.ledger.read(|registry| {
        let held = registry.get(&"madrid".parse().unwrap())?;
        Some(held.record.content.gateways[0].endpoints.clone())
    });
    assert_eq!(heard, Some(vec!["127.0.0.1:51822".to_owned()]), "berlin can call it now");
    assert_eq!(ask(&madrid, &invitation).await, Ok(true), "the answer may be lost");
    let other = tempfile::tempdir().unwrap();
    let thief = gateway(other.path(), 2, free_port()).await;
    let refused = ask(&thief, &invitation).await.unwrap_err();
    assert!(refused.contains("was used by another gateway"), "{refused}");
}

/// Joins with an invitation that was written before any gateway had a key, and then `changed`.
async fn join_by_name(changed: fn(&mut Invitation)) -> Result<bool, String> {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let join = free_port();
    let berlin = gateway(here.path(), 1, join).await;
    berlin.administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    let mut invitation = berlin.administration.invite(wanted()).await.unwrap();
    invitation.id = InvitationId([1; 16]);
    (invitation.inviter.zone_key, invitation.inviter.gateways) = (None, Vec::new());
    changed(&mut invitation);
    let file = here.path().join(format!("invitations/{}.issued", invitation.id));
    std::fs::write(file, IssuedInvitation::new(&invitation).to_file_bytes()).unwrap();
    drop(berlin);
    let berlin = gateway(here.path(), 1, join).await;
    let madrid = gateway(there.path(), 2, free_port()).await;
    let mut tasks = JoinSet::new();
    serve(&berlin, &mut tasks);
    ask(&madrid, &invitation).await
}

#[tokio::test]
async fn an_inviter_that_had_no_key_is_believed_as_the_mesh_grants_it() {
    assert_eq!(join_by_name(|_| {}).await, Ok(true));
    let foreign = join_by_name(|invitation| invitation.inviter.zone = "paris".parse().unwrap());
    let refused = foreign.await.unwrap_err();
    assert!(refused.contains("zone paris, which invites, is no member"), "{refused}");
    let refused = join_by_name(|invitation| invitation.authority_set = [9; 32]).await.unwrap_err();
    assert!(refused.contains("ask for a new one"), "{refused}");
}

fn token(n: u8) -> KnownToken {
    KnownToken {
        hash: TokenHash::from_bytes([n; 32]),
        role: VmRole::SuperNode,
        federation: None,
        expires_at: None,
    }
}

/// What a zone's grant lets it do for federations, as a gateway has it.
fn rights(at: &OpenedState, zone: &str) -> Vec<String> {
    at.ledger.read(|registry| {
        let grant = registry.membership().and_then(|mesh| mesh.grant(&zone.parse().unwrap()));
        grant.unwrap().federations.iter().map(ToString::to_string).collect()
    })
}

/// What a joiner does with what it has heard.
async fn join_with(joiner: &OpenedState, inviter: &OpenedState, invitation: &Invitation) {
    assert_eq!(ask(joiner, invitation).await, Ok(true));
    let items = inviter.ledger.read(|registry| registry.membership().unwrap().items());
    let mesh = Membership::from_items(&invitation.mesh, None, items).unwrap();
    joiner.administration.join(invitation, mesh).await.unwrap();
}

#[tokio::test]
async fn tokens_and_federations_come_with_bundle_and_invitation_and_outlive_a_restart() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let join = free_port();
    let mesh = planned(join);
    let berlin = gateway(here.path(), 1, join).await;
    let madrid = gateway(there.path(), 2, free_port()).await;
    berlin.administration.found_from(&mesh.bundle.to_text()).await.unwrap();
    let mut tasks = JoinSet::new();
    serve(&berlin, &mut tasks);
    assert!(madrid.administration.tokens().kept().tokens.is_empty());
    join_with(&madrid, &berlin, &mesh.invitations[0]).await;
    assert_eq!(rights(&madrid, "berlin"), ["health-eu=host"]);
    assert_eq!(rights(&madrid, "madrid"), ["health-eu=train"]);
    drop(madrid);
    let madrid = gateway(there.path(), 2, free_port()).await;
    let kept = |of: &OpenedState| of.administration.tokens().kept();
    let inviter = Some("berlin".parse().unwrap());
    assert_eq!(kept(&madrid), KeptTokens { tokens: vec![token(2)], inviter });
    assert_eq!(kept(&berlin), KeptTokens { tokens: vec![token(1)], inviter: None });
    // What was given up stays so, whatever the CONTEXT of its VM says at the next start.
    assert!(!madrid.administration.remove_token(&token(1).hash).await.unwrap());
    assert!(madrid.administration.remove_token(&token(2).hash).await.unwrap());
    join_with(&madrid, &berlin, &mesh.invitations[0]).await;
    assert!(kept(&madrid).tokens.is_empty());
    // Invited anew without a word of either: both stay. With: it takes the place of what was there.
    let again = berlin.administration.invite(wanted()).await.unwrap();
    join_with(&madrid, &berlin, &again).await;
    assert_eq!((rights(&berlin, "madrid").len(), kept(&madrid).tokens.len()), (1, 0));
    let federations = vec!["other-eu=host,train".parse().unwrap()];
    let other = InvitationRequest { federations, tokens: vec![token(3)], ..wanted() };
    let again = berlin.administration.invite(other).await.unwrap();
    join_with(&madrid, &berlin, &again).await;
    assert_eq!(rights(&madrid, "madrid"), ["other-eu=host,train"]);
    assert_eq!(kept(&madrid).tokens, [token(3)]);
    let much = InvitationRequest { tokens: vec![token(3); MAX_KNOWN + 1], ..wanted() };
    assert!(matches!(berlin.administration.invite(much).await, Err(Refusal::TooMuch)));
}

/// A mesh of berlin, which is called at `join`, and madrid.
fn planned(join: SocketAddr) -> FoundedMesh {
    let zone = |name: &str, n: u8, right: &str| PlannedZone {
        zone: name.parse().unwrap(),
        prefixes: vec![format!("10.10.{n}.0/24").parse().unwrap()],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, n])],
        federations: vec![right.parse().unwrap()],
        tokens: vec![token(n)],
    };
    let plan = FoundingPlan {
        founder: zone("berlin", 1, "health-eu=host"),
        join_endpoints: vec![join.to_string()],
        others: vec![InvitedZone {
            planned: zone("madrid", 2, "health-eu=train"),
            id: InvitationId([1; 16]),
            secret: InvitationSecret::from_bytes([2; 16]),
        }],
        expires_at: now().plus(60_000),
    };
    let key = AuthorityIdentity::from_seed(&[9; 32]);
    plan.found(first_set(owners(), key.public_key(), now()).unwrap(), key).unwrap()
}

#[tokio::test]
async fn a_mesh_that_was_founded_elsewhere_is_joined_with_its_invitations() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let join = free_port();
    let mesh = planned(join);
    let madrid = gateway(there.path(), 2, free_port()).await;
    let not_madrids = madrid.administration.found_from(&mesh.bundle.to_text()).await;
    assert!(not_madrids.err().unwrap().to_line().contains("is for zone berlin"));
    let berlin = gateway(here.path(), 1, join).await;
    for _ in 0..2 {
        let founder = berlin.administration.found_from(&mesh.bundle.to_text()).await.unwrap();
        assert_eq!((founder.mesh, founder.zones.len()), (mesh.mesh.clone(), 1));
    }
    let mut tasks = JoinSet::new();
    serve(&berlin, &mut tasks);
    assert_eq!(ask(&madrid, &mesh.invitations[0]).await, Ok(true));
    // After a restart too it may sign, and the invitation is used.
    drop((berlin, tasks));
    let berlin = gateway(here.path(), 1, join).await;
    assert_eq!(berlin.ledger.read(|registry| registry.members().count()), 2);
    assert!(berlin.administration.invited().await.open.is_empty());
    berlin.administration.revoke(&"madrid".parse().unwrap(), "stolen").await.unwrap();
}

#[tokio::test]
async fn a_zone_that_is_out_asks_at_the_join_port_and_is_told() {
    let [here, there] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // Of this test alone: a join port is always 51823 for who asks.
    let outer: SocketAddr = "127.40.0.1:51823".parse().unwrap();
    let berlin = gateway(here.path(), 1, outer).await;
    berlin.administration.found(owners(), BTreeSet::new(), 1, false).await.unwrap();
    let invitation = berlin.administration.invite(wanted()).await.unwrap();
    let madrid = gateway(there.path(), 2, free_port()).await;
    let mut tasks = JoinSet::new();
    serve(&berlin, &mut tasks);
    assert_eq!(ask(&madrid, &invitation).await, Ok(true));
    let items = berlin.ledger.read(|registry| registry.membership().unwrap().items());
    let mesh = Membership::from_items(&invitation.mesh, None, items).unwrap();
    madrid.administration.join(&invitation, mesh).await.unwrap();
    let peer = PeerPlan {
        id: GatewayId::assumed("berlin".parse().unwrap()),
        role: GatewayRole::Active,
        wireguard_key: WireGuardPublicKey([1; 32]),
        next_key: None,
        lanes: Vec::new(),
        endpoints: vec!["127.40.0.1:51820".parse().unwrap()],
        prefixes: Vec::new(),
        tunnel_ips: vec!["10.255.0.1".parse().unwrap()],
        aside: Vec::new(),
        registry_port: 51_821,
        is_neighbour: true,
        keeps_alive: true,
        plain: None,
    };
    let asking = async {
        let mut on = berlin.administration.listening.subscribe();
        on.wait_for(|state| *state == Listening::On).await.unwrap();
        let of_a_member = asks(&madrid.ledger, &madrid.leaf, &peer).await.unwrap();
        assert!(of_a_member.is_empty(), "{of_a_member:?}");
        let zone = "madrid".parse().unwrap();
        berlin.administration.revoke(&zone, "stolen").await.unwrap();
        let told = asks(&madrid.ledger, &madrid.leaf, &peer).await.unwrap();
        // Another zone's certificate is not that of berlin.
        let id = GatewayId::assumed(zone);
        let other = PeerPlan { id, ..peer.clone() };
        assert!(asks(&madrid.ledger, &madrid.leaf, &other).await.is_err());
        told
    };
    let told = asking.await;
    assert_eq!(madrid.ledger.read(|registry| registry.standing()), Standing::Member);
    madrid.ledger.accept_trust::<std::io::Error>(told, |_, _| Ok(())).await.unwrap();
    assert_eq!(madrid.ledger.read(|registry| registry.standing()), Standing::Revoked);
    let said = madrid.ledger.read(|registry| registry.own_revocation().unwrap());
    assert_eq!((said.revocation.reason.as_str(), said.signers.len()), ("stolen", 1));
}
