//! A plan becomes a mesh, and what cannot be granted becomes none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::token::{TokenHash, VmRole};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);

fn planned(zone: &str, prefix: &str, last: u8) -> PlannedZone {
    PlannedZone {
        zone: zone.parse().unwrap(),
        prefixes: vec![prefix.parse().unwrap()],
        tunnel_ips: vec![IpAddr::from([10, 255, 0, last])],
        federations: Vec::new(),
        tokens: Vec::new(),
    }
}

fn plan(others: Vec<PlannedZone>) -> FoundingPlan {
    let invited = |(n, planned): (usize, PlannedZone)| InvitedZone {
        planned,
        id: InvitationId([u8::try_from(n % 256).unwrap(); 16]),
        secret: InvitationSecret::from_bytes([7; 16]),
    };
    FoundingPlan {
        founder: planned("berlin", "10.10.10.0/24", 1),
        join_endpoints: vec!["203.0.113.1:51823".to_owned()],
        others: others.into_iter().enumerate().map(invited).collect(),
        expires_at: NOW.plus(1),
    }
}

fn found(plan: FoundingPlan) -> Result<FoundedMesh, FoundingError> {
    let key = AuthorityIdentity::from_seed(&[9; 32]);
    plan.found(
        first_set(
            [AuthorityIdentity::from_seed(&[8; 32]).public_key()].into(),
            key.public_key(),
            NOW,
        )?,
        key,
    )
}

#[test]
fn a_bundle_holds_all_that_the_founder_needs_and_no_secret_of_an_invitation() {
    let founded = found(plan(vec![planned("madrid", "10.10.11.0/24", 2)])).unwrap();
    let text = founded.bundle.to_text();
    let back = FoundingBundle::from_text(&text).unwrap();
    assert_eq!(back.first, founded.bundle.first);
    assert_eq!(back.founder, founded.bundle.founder);
    assert_eq!(*back.signing_key.to_base64(), *founded.bundle.signing_key.to_base64());
    let [madrid] = &founded.invitations[..] else { panic!("one zone") };
    assert_eq!(back.invitations[0].hash, madrid.hash());
    assert_eq!((&madrid.mesh, madrid.inviter.zone_key), (&founded.mesh, None));
    let decoded = STANDARD.decode(&*text).unwrap();
    assert!(!decoded.windows(16).any(|window| window == [7; 16]), "the secret is in it");
}

#[test]
fn federations_and_tokens_go_to_the_founder_and_to_the_others_with_their_own() {
    let with = |name: &str, prefix: &str, n: u8, right: &str| PlannedZone {
        federations: vec![right.parse().unwrap()],
        tokens: vec![KnownToken {
            hash: TokenHash::from_bytes([n; 32]),
            role: VmRole::SuperNode,
            federation: Some("health-eu".parse().unwrap()),
            expires_at: None,
        }],
        ..planned(name, prefix, n)
    };
    let mut plan = plan(vec![with("madrid", "10.10.11.0/24", 2, "health-eu=train")]);
    plan.founder = with("berlin", "10.10.10.0/24", 1, "health-eu=host");
    let founder = plan.founder.clone();
    let founded = found(plan).unwrap();
    let bundle = FoundingBundle::from_text(&founded.bundle.to_text()).unwrap();
    assert_eq!(bundle.founder, founder);
    let key = crate::key::ZoneIdentity::from_seed(&[1; 32]).public_key();
    assert_eq!(bundle.grant_request(key).federations, founder.federations);
    let [madrid] = &founded.invitations[..] else { panic!("one zone") };
    assert_eq!(madrid.tokens[0].hash, TokenHash::from_bytes([2; 32]));
    assert_eq!(bundle.invitations[0].federations, madrid.federations);
    assert_eq!(mesh_of(&bundle.first), Ok(founded.mesh));
}

#[test]
fn what_cannot_be_granted_is_refused_before_anything_is_made() {
    let refused = |others| found(plan(others)).err().unwrap();
    let twice = planned("berlin", "10.10.11.0/24", 2);
    assert!(matches!(refused(vec![twice]), FoundingError::Twice(_)));
    let overlap = refused(vec![planned("madrid", "10.10.0.0/16", 2)]);
    assert!(matches!(overlap, FoundingError::Overlap(_)), "{overlap}");
    let same_ip = refused(vec![planned("madrid", "10.10.11.0/24", 1)]);
    assert!(matches!(same_ip, FoundingError::Overlap(_)), "{same_ip}");
    let bits = refused(vec![planned("madrid", "10.10.11.1/24", 2)]);
    assert!(bits.to_string().contains("write 10.10.11.0/24"), "{bits}");
    let default_route = refused(vec![planned("madrid", "0.0.0.0/0", 2)]);
    assert!(matches!(default_route, FoundingError::Reserved(..)), "{default_route}");
    let none = PlannedZone { prefixes: Vec::new(), ..planned("madrid", "10.10.11.0/24", 2) };
    assert!(matches!(refused(vec![none]), FoundingError::NoPrefix(_)));
    let right = || "health-eu=train".parse().unwrap();
    let many_rights = (0..=MAX_CLAIMS).map(|_| right()).collect();
    let much = PlannedZone { federations: many_rights, ..planned("madrid", "10.10.11.0/24", 2) };
    assert!(matches!(refused(vec![much]), FoundingError::TooMuch(_)));
    let many = (0..MAX_ZONES).map(|n| planned(&format!("z{n}"), "10.10.11.0/24", 2)).collect();
    assert_eq!(refused(many), FoundingError::TooMany(MAX_ZONES + 1));
    let unreachable = FoundingPlan { join_endpoints: Vec::new(), ..plan(Vec::new()) };
    assert_eq!(found(unreachable).err(), Some(FoundingError::NoEndpoint));
}

#[test]
fn what_is_no_bundle_is_told_apart() {
    let text = found(plan(Vec::new())).unwrap().bundle.to_text();
    let error = |text: &str| FoundingBundle::from_text(text).err().unwrap();
    assert!(matches!(error("not base64!"), FoundingBundleError::Base64(_)));
    assert_eq!(error("AAAA"), FoundingBundleError::Magic);
    assert_eq!(error(&text[..text.len() / 8 * 4]), FoundingBundleError::Damaged);
    assert_eq!(error(&"A".repeat(2_000_000)), FoundingBundleError::TooLarge(2_000_000));
}
