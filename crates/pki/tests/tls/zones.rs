//! Mutual TLS between gateways: who passes, who is refused, and when a change of trust counts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::pipe::handshake;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, HandshakeKind, ServerConfig};
use zonemesh_pki::{
    CurrentLeaf, TrustError, ZoneAuthority, ZoneError, ZoneTrust, zone_client_config,
    zone_server_config,
};

const HOUR: Duration = Duration::from_secs(3600);
const BERLIN_IP: &str = "10.255.0.1";

fn berlin() -> ZoneAuthority {
    ZoneAuthority::from_seed("berlin", &[1; 32]).unwrap()
}

fn madrid() -> ZoneAuthority {
    ZoneAuthority::from_seed("madrid", &[2; 32]).unwrap()
}

fn named(authority: &ZoneAuthority, name: &str) -> (String, [u8; 32]) {
    (name.to_owned(), authority.public_key())
}

fn both() -> ZoneTrust {
    ZoneTrust::new(&[named(&berlin(), "berlin"), named(&madrid(), "madrid")]).unwrap()
}

fn leaf_at(authority: &ZoneAuthority, ip: &str, now: SystemTime) -> CurrentLeaf {
    let ips: [IpAddr; 1] = [ip.parse().unwrap()];
    CurrentLeaf::new(&authority.issue_leaf(&ips, now).unwrap()).unwrap()
}

fn leaf(authority: &ZoneAuthority, ip: &str) -> CurrentLeaf {
    leaf_at(authority, ip, SystemTime::now())
}

fn berlin_server(trust: &ZoneTrust) -> Arc<ServerConfig> {
    zone_server_config(trust, &leaf(&berlin(), BERLIN_IP)).unwrap()
}

fn madrid_client(trust: &ZoneTrust) -> Arc<ClientConfig> {
    zone_client_config(trust, &leaf(&madrid(), "10.255.0.2"), "berlin").unwrap()
}

#[test]
fn a_trusted_zone_passes_and_both_ends_know_the_other_by_name() {
    let trust = both();
    let pair = handshake(&madrid_client(&trust), &berlin_server(&trust), BERLIN_IP).unwrap();
    let client = pair.server.peer_certificates().unwrap();
    assert_eq!(trust.zone_of(client).as_deref(), Some("madrid"));
    let server = pair.client.peer_certificates().unwrap();
    assert_eq!(trust.zone_of(server).as_deref(), Some("berlin"));
    assert_eq!(pair.client.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(pair.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
}

#[test]
fn tunnel_addresses_may_be_ipv6() {
    let trust = both();
    let server = zone_server_config(&trust, &leaf(&berlin(), "fd00::1")).unwrap();
    assert!(handshake(&madrid_client(&trust), &server, "fd00::1").is_ok());
}

#[test]
fn an_unknown_zone_is_refused_by_the_server() {
    let only_berlin = ZoneTrust::new(&[named(&berlin(), "berlin")]).unwrap();
    let refused = handshake(&madrid_client(&both()), &berlin_server(&only_berlin), BERLIN_IP);
    let refused = refused.err().unwrap();
    assert!(refused.text().contains("UnknownIssuer"), "{}", refused.text());
}

#[test]
fn an_unknown_zone_is_refused_by_the_client_with_its_name() {
    let only_madrid = ZoneTrust::new(&[named(&madrid(), "madrid")]).unwrap();
    let refused = handshake(&madrid_client(&only_madrid), &berlin_server(&both()), BERLIN_IP);
    let text = format!("{:?}", refused.err().unwrap());
    assert!(text.contains("Untrusted(\"berlin\")"), "{text}");
}

#[test]
fn an_empty_trust_refuses_everyone() {
    let nobody = ZoneTrust::new(&[]).unwrap();
    assert!(handshake(&madrid_client(&both()), &berlin_server(&nobody), BERLIN_IP).is_err());
}

#[test]
fn a_trusted_zone_cannot_answer_in_the_place_of_another() {
    let trust = both();
    let impostor = zone_server_config(&trust, &leaf(&madrid(), BERLIN_IP)).unwrap();
    let refused = handshake(&madrid_client(&trust), &impostor, BERLIN_IP).err().unwrap();
    assert!(refused.text().contains("UnknownIssuer"), "{}", refused.text());
}

#[test]
fn a_forged_issuer_name_is_refused_by_both_ends() {
    let trust = both();
    let forger = ZoneAuthority::from_seed("berlin", &[9; 32]).unwrap();
    let server = zone_server_config(&trust, &leaf(&forger, BERLIN_IP)).unwrap();
    assert!(handshake(&madrid_client(&trust), &server, BERLIN_IP).is_err());
    let client = zone_client_config(&trust, &leaf(&forger, "10.255.0.9"), "berlin").unwrap();
    assert!(handshake(&client, &berlin_server(&trust), BERLIN_IP).is_err());
    let forged = forger.issue_leaf(&[BERLIN_IP.parse().unwrap()], SystemTime::now()).unwrap();
    assert_eq!(trust.zone_of(&[forged.certificate().clone()]), None);
}

fn distinguished(name: &str) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    dn.push(DnType::CommonName, name);
    dn.push(DnType::OrganizationName, "zonemesh zone");
    dn
}

/// Madrid certifies a sub-authority named berlin, which signs a leaf: the classic name confusion.
fn leaf_below_a_sub_authority() -> (Vec<CertificateDer<'static>>, KeyPair) {
    let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    pkcs8.extend([2; 32]);
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
    let madrid = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ED25519).unwrap();
    let mut root = CertificateParams::default();
    root.distinguished_name = distinguished("madrid");
    let mut middle = CertificateParams::default();
    middle.distinguished_name = distinguished("berlin");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    middle.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let middle_key = KeyPair::generate().unwrap();
    let middle_der = middle.signed_by(&middle_key, &Issuer::from_params(&root, &madrid)).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(BERLIN_IP.parse().unwrap())];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &Issuer::from_params(&middle, &middle_key)).unwrap();
    (vec![leaf.der().clone(), middle_der.der().clone()], key)
}

#[test]
fn a_sub_authority_of_one_zone_cannot_carry_the_name_of_another() {
    let trust = both();
    let (chain, key) = leaf_below_a_sub_authority();
    assert_eq!(trust.zone_of(&chain), None);
    assert_eq!(trust.zone_of(&chain[1..]).as_deref(), Some("madrid"));
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let impostor = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key.clone_key().into())
        .unwrap();
    assert!(handshake(&madrid_client(&trust), &Arc::new(impostor), BERLIN_IP).is_err());
    let mut client = (*madrid_client(&trust)).clone();
    let certified = rustls::sign::CertifiedKey::from_der(chain, key.into(), &provider).unwrap();
    client.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    assert!(handshake(&Arc::new(client), &berlin_server(&trust), BERLIN_IP).is_err());
}

#[test]
fn a_removed_zone_is_refused_on_the_next_handshake_and_welcome_when_it_is_back() {
    let trust = both();
    let client = madrid_client(&both());
    let server = berlin_server(&trust);
    assert!(handshake(&client, &server, BERLIN_IP).is_ok());
    trust.replace(&[named(&berlin(), "berlin")]).unwrap();
    assert!(handshake(&client, &server, BERLIN_IP).is_err());
    assert_eq!(trust.zones(), ["berlin"]);
    trust.replace(&[named(&berlin(), "berlin"), named(&madrid(), "madrid")]).unwrap();
    assert!(handshake(&client, &server, BERLIN_IP).is_ok());
}

#[test]
fn no_session_is_resumed_even_by_a_client_that_would_like_to() {
    let trust = both();
    let server = berlin_server(&trust);
    let mut eager = (*madrid_client(&trust)).clone();
    eager.resumption = Resumption::in_memory_sessions(8);
    let eager = Arc::new(eager);
    for _connection in 0..3 {
        let pair = handshake(&eager, &server, BERLIN_IP).unwrap();
        assert_eq!(pair.server.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(pair.client.tls13_tickets_received(), 0);
    }
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let trust = both();
    let mut anonymous = (*madrid_client(&trust)).clone();
    anonymous.client_auth_cert_resolver =
        Arc::new(rustls::client::AlwaysResolvesClientRawPublicKeys::new(no_key()));
    assert!(handshake(&Arc::new(anonymous), &berlin_server(&trust), BERLIN_IP).is_err());
}

fn no_key() -> Arc<rustls::sign::CertifiedKey> {
    let key = PrivatePkcs8KeyDer::from(KeyPair::generate().unwrap().serialize_der());
    let provider = rustls::crypto::ring::default_provider();
    let key = provider.key_provider.load_private_key(key.into()).unwrap();
    Arc::new(rustls::sign::CertifiedKey::new(Vec::new(), key))
}

#[test]
fn a_leaf_for_another_tunnel_address_is_refused() {
    let trust = both();
    let refused = handshake(&madrid_client(&trust), &berlin_server(&trust), "10.255.0.7");
    let refused = refused.err().unwrap();
    assert!(refused.text().contains("not valid for name"), "{}", refused.text());
}

#[test]
fn a_gateway_whose_clock_is_twenty_hours_off_is_still_let_in() {
    let trust = both();
    for skewed in [SystemTime::now() + 20 * HOUR, SystemTime::now() - 20 * HOUR] {
        let leaf = leaf_at(&madrid(), "10.255.0.2", skewed);
        let client = zone_client_config(&trust, &leaf, "berlin").unwrap();
        assert!(handshake(&client, &berlin_server(&trust), BERLIN_IP).is_ok());
    }
}

#[test]
fn an_expired_leaf_is_refused_until_the_next_one_takes_over() {
    let trust = both();
    let shown = leaf_at(&berlin(), BERLIN_IP, SystemTime::now() - 25 * HOUR);
    let server = zone_server_config(&trust, &shown).unwrap();
    let refused = handshake(&madrid_client(&trust), &server, BERLIN_IP).err().unwrap();
    assert!(refused.text().contains("expired"), "{}", refused.text());
    let now = SystemTime::now();
    let fresh = berlin().issue_leaf(&[BERLIN_IP.parse().unwrap()], now).unwrap();
    assert_eq!(fresh.renew_at(), now + 8 * HOUR);
    assert_eq!(fresh.not_after(), now + 24 * HOUR);
    shown.replace(&fresh).unwrap();
    assert!(handshake(&madrid_client(&trust), &server, BERLIN_IP).is_ok());
}

#[test]
fn a_name_or_a_key_that_occurs_twice_is_refused_and_the_old_set_stays() {
    let trust = both();
    let (name, key) = named(&berlin(), "berlin");
    let twice = trust.replace(&[(name.clone(), key), (name.clone(), [7; 32])]);
    assert!(matches!(twice, Err(TrustError::DuplicateZone(zone)) if zone == "berlin"));
    let shared = trust.replace(&[(name, key), ("paris".to_owned(), key)]);
    assert!(matches!(shared, Err(TrustError::DuplicateKey(_, zone)) if zone == "paris"));
    assert_eq!(trust.zones(), ["berlin", "madrid"]);
}

#[test]
fn bad_names_and_missing_addresses_are_errors() {
    for name in ["", "Berlin", "a.b", &"x".repeat(64)] {
        let authority = ZoneAuthority::from_seed(name, &[1; 32]);
        assert!(matches!(authority, Err(ZoneError::Name(_))), "{name}");
        assert!(ZoneTrust::new(&[(name.to_owned(), [1; 32])]).is_err(), "{name}");
    }
    let none = berlin().issue_leaf(&[], SystemTime::now());
    assert!(matches!(none, Err(ZoneError::NoTunnelIp)));
}

#[test]
fn the_longest_zone_name_works_like_any_other() {
    let name = "z".repeat(63);
    let authority = ZoneAuthority::from_seed(&name, &[3; 32]).unwrap();
    let trust = ZoneTrust::new(&[(name.clone(), authority.public_key())]).unwrap();
    let leaf = leaf(&authority, BERLIN_IP);
    let client = zone_client_config(&trust, &leaf, &name).unwrap();
    let server = zone_server_config(&trust, &leaf).unwrap();
    let pair = handshake(&client, &server, BERLIN_IP).unwrap();
    assert_eq!(trust.zone_of(pair.server.peer_certificates().unwrap()), Some(name));
}
