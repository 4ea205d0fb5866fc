//! A joiner that does not know its inviter's key yet, and what it says of the certificate afterwards.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use zonemesh_pki::{
    CurrentLeaf, ZoneAuthority, check_shown, is_about_time, join_server_config,
    unpinned_client_config,
};

use crate::pipe::handshake;

const IP: [u8; 4] = [10, 255, 0, 1];

fn zone(name: &str, seed: u8) -> ZoneAuthority {
    ZoneAuthority::from_seed(name, &[seed; 32]).unwrap()
}

/// What a gateway shows that is asked at `now`.
fn shown_by(authority: &ZoneAuthority, now: SystemTime) -> Vec<CertificateDer<'static>> {
    let leaf = CurrentLeaf::new(&authority.issue_leaf(&[IpAddr::from(IP)], now).unwrap()).unwrap();
    let server = join_server_config(&leaf).unwrap();
    let pair = handshake(&unpinned_client_config().unwrap(), &server, "192.0.2.1").unwrap();
    pair.client.peer_certificates().unwrap().to_vec()
}

#[test]
fn what_was_shown_is_held_against_the_key_that_is_learned_later() {
    let (berlin, thief) = (zone("berlin", 1), zone("berlin", 2));
    let (now, ips) = (SystemTime::now(), [IpAddr::from(IP)]);
    let shown = shown_by(&berlin, now);
    let check = |ips: &[IpAddr], shown: &[CertificateDer<'_>]| {
        check_shown("berlin", berlin.public_key(), ips, shown).map_err(|error| error.to_string())
    };
    assert_eq!(check(&ips, &shown), Ok(()));
    assert!(check(&ips, &shown_by(&thief, now)).is_err(), "the name under another key");
    let other_zone = shown_by(&zone("madrid", 1), now);
    assert!(check(&ips, &other_zone).is_err(), "the key under another zone's name");
    assert!(check(&[IpAddr::from([10, 255, 0, 9])], &shown).is_err(), "another tunnel IP");
    assert!(check(&ips, &[]).is_err());
}

#[test]
fn what_was_shown_does_not_hold_for_longer_than_in_a_pinned_handshake() {
    let berlin = zone("berlin", 1);
    let long_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    let shown = shown_by(&berlin, long_ago);
    let key = berlin.public_key();
    let error = check_shown("berlin", key, &[IpAddr::from(IP)], &shown).unwrap_err();
    assert!(is_about_time(&error), "{error}");
}
