//! Writes the seeds that are binary, or scripts of `zonemesh_tunnel::fuzzing`, into `seeds/`. Run it
//! again when a form has changed: `cargo run --example seeds` in this folder.

use std::fs;
use std::path::Path;

use prost::Message as _;
use zonemesh_api::v1;
use zonemesh_api::v1::companion_message::Body;
use zonemesh_core::invitation::{
    Invitation, InvitationId, InvitationSecret, Inviter, RedemptionAnswer,
};
use zonemesh_core::membership::{
    AuthorityEdit, Membership, Revocation, SignedTrustItem, TrustItem, TrustKind, sign,
};
use zonemesh_core::record::{SignedRecord, Version, ZoneRecord};
use zonemesh_core::replication::{ReplicationSession, StreamBody, StreamMessage};
use zonemesh_core::token::{KeptTokens, KnownToken, TokenHash, VmRole};
use zonemesh_fuzz::mesh::{NOW, authority, draft, grant, identity, membership, name, registry};

fn write(target: &str, seed: &str, bytes: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join(seed), bytes).expect("the seed can be written");
}

/// A piece of a script: its length before it.
fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn main() {
    control();
    replication();
    datagrams();
    packets();
    headers();
}

fn record() -> SignedRecord {
    let version = Version { incarnation: 1, seq: 5 };
    let record = ZoneRecord {
        gateway: format!("{}-gw1", name(1)),
        certificate: None,
        zone: name(1),
        version,
        issued_at: NOW,
        content: draft(1),
    };
    SignedRecord::sign(&record, &identity(1))
}

fn control() {
    write("record", "payload", record().payload());
    write("record", "stored", record().to_file_bytes());
    let membership = membership();
    let mut all = Vec::new();
    for (seed, item) in [("grant", grant(&membership, 2)), ("revocation", revocation(&membership))]
    {
        write("trust", seed, script_of(&item));
        write("trust", &format!("{seed}-stored"), item.to_file_bytes());
        all.extend(script_of(&item));
    }
    let renewed = AuthorityEdit { renew: true, ..AuthorityEdit::default() };
    if let Ok(draft) = membership.draft_change(&renewed, NOW) {
        let mut set = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(draft.next));
        set.sign(&authority());
        write("trust", "authorities", script_of(&set));
        for item in std::iter::once(set).chain(draft.pages) {
            all.extend(script_of(&item));
        }
    }
    write("trust", "all", all);
    write("invitation", "text", invitation(&membership).to_text().as_bytes());
    let issued = zonemesh_core::invitation::IssuedInvitation::new(&invitation(&membership));
    write("invitation", "stored", issued.to_file_bytes());
    let kept = KeptTokens { tokens: vec![token()], inviter: Some(name(1)) };
    write("invitation", "tokens", kept.to_file_bytes());
}

fn token() -> KnownToken {
    KnownToken {
        hash: TokenHash::from_bytes([7; 32]),
        role: VmRole::SuperNode,
        federation: Some("health-eu".parse().expect("a name")),
        expires_at: Some(NOW),
    }
}

fn script_of(item: &SignedTrustItem) -> Vec<u8> {
    let kind = match item.kind() {
        TrustKind::AuthoritySet => 0,
        TrustKind::Grant => 1,
        TrustKind::Revocation => 2,
        TrustKind::GrantPage => 3,
    };
    [vec![kind], piece(item.payload())].concat()
}

fn revocation(membership: &Membership) -> SignedTrustItem {
    let revocation = Revocation {
        mesh: membership.mesh().clone(),
        zone: name(1),
        zone_key: identity(1).public_key(),
        set: Some(membership.authority_set().0),
        serial: 1,
        reason: "stolen".to_owned(),
        issued_at: NOW,
    };
    let item = TrustItem::Revocation(revocation);
    sign(membership.authority_set().1, &item, &[&authority()])
}

fn invitation(membership: &Membership) -> Invitation {
    Invitation {
        id: InvitationId([7; 16]),
        mesh: membership.mesh().clone(),
        authority_set: membership.authority_set().0,
        inviter: Inviter {
            zone: name(1),
            zone_key: Some(identity(1).public_key()),
            join_endpoints: vec!["203.0.113.1:51823".to_owned()],
            gateways: draft(1).gateways,
            prefixes: draft(1).prefixes,
        },
        zone: name(2),
        prefixes: draft(2).prefixes,
        tunnel_ips: vec![std::net::IpAddr::from([10, 255, 0, 2])],
        expires_at: NOW,
        federations: vec!["health-eu=train".parse().expect("a right")],
        tokens: vec![token()],
        secret: InvitationSecret::from_bytes([9; 16]),
        read_from: None,
    }
}

fn replication() {
    let theirs = registry(1);
    let mut session = ReplicationSession::new(theirs.mesh(), name(0));
    let hello = session.open(&theirs, NOW);
    let clock = hello.clock;
    let versions = wire_bytes(&StreamMessage {
        clock,
        body: StreamBody::Versions(zonemesh_core::replication::HeldVersions {
            trust: None,
            records: theirs.version_vector(),
        }),
    });
    let items = wire_bytes(&StreamMessage { clock, body: StreamBody::Items(vec![record()]) });
    let membership = membership();
    let trust =
        wire_bytes(&StreamMessage { clock, body: StreamBody::Trust(vec![grant(&membership, 2)]) });
    let hello = wire_bytes(&hello);
    write("replication", "greeting", [&hello[..], &versions].concat());
    write("replication", "records", [&hello[..], &versions, &items].concat());
    write("replication", "trust", [&hello[..], &trust].concat());
    messages(&membership);
}

fn wire_bytes(message: &StreamMessage) -> Vec<u8> {
    v1::RegistryMessage::from(message.clone()).encode_length_delimited_to_vec()
}

fn messages(membership: &Membership) {
    let with_kind = |kind: u8, bytes: Vec<u8>| [vec![kind], bytes].concat();
    let say = |body| v1::CompanionMessage { number: 1, body: Some(body) }.encode_to_vec();
    let register = Body::Registration(v1::SuperLinkRegistration {
        addresses: vec!["10.10.10.5".to_owned()],
        fleet_port: 9092,
        control_port: 9093,
        flower_version: "1.25.0".to_owned(),
        transport: 1,
        csr_pem: "csr".to_owned(),
        clock_unix_ms: 1,
    });
    write("messages", "register", with_kind(0, say(register)));
    let report = Body::Report(v1::CompanionReport {
        readiness: 2,
        supernode: 3,
        flower_version: "1.25.0".to_owned(),
        public_key: vec![4; 91],
        ..Default::default()
    });
    write("messages", "report", with_kind(1, say(report)));
    let view = v1::FederationView {
        federation: "health-eu".to_owned(),
        found: true,
        zone: "z1".to_owned(),
        flower_version: "1.25.0".to_owned(),
        transport: 1,
        readiness: 2,
        tls_name: "superlink.health-eu".to_owned(),
        addresses: vec!["10.10.1.5".to_owned()],
        fleet_port: 9092,
        control_port: 9093,
        ..Default::default()
    };
    write("messages", "view", with_kind(2, view.encode_to_vec()));
    write("messages", "superlink", with_kind(3, view.encode_to_vec()));
    let binding = zonemesh_core::invitation::ChannelBinding([3; 32]);
    let asked = invitation(membership).redemption(&identity(2), record(), &binding);
    let (trust, proof) = (membership.items(), asked.proof.clone());
    write("messages", "redeem", with_kind(4, v1::RedeemRequest::from(asked).encode_to_vec()));
    let answer = RedemptionAnswer { pending: false, trust, record: Some(record()), proof };
    let reply = v1::RedeemReply::from(answer);
    write("messages", "redeemed", with_kind(5, reply.encode_to_vec()));
}

fn datagrams() {
    let noise = [&[0u8][..], &piece(&[4; 40])].concat();
    let damaged = [1, 2, 0, 20, 0x80, 0];
    let again = [1, 1, 0, 0, 0, 0];
    let initiation = [&[2u8, 1][..], &piece(&[1; 148]), &[0]].concat();
    let response = [&[2u8, 0][..], &piece(&[2; 92]), &[0]].concat();
    let data = [&[3u8, 0][..], &piece(&[0; 44])].concat();
    let flood = [&[4u8, 1][..], &piece(&[3; 148]), &[0]].concat();
    let later = [5, 250];
    let packet = [&[6u8][..], &piece(b"a payload")].concat();
    write("datagrams", "noise", [&noise[..], &damaged, &again].concat());
    write("datagrams", "handshakes", [&initiation[..], &[7], &response, &[7]].concat());
    write("datagrams", "data", [&packet[..], &[7], &data, &[7], &damaged].concat());
    write("datagrams", "flood", [&flood[..], &later, &initiation, &[7], &later].concat());
}

fn packets() {
    // mode, payload byte, payload length; see `built` in crates/tunnel/src/fuzzing/packets.rs.
    let segment = |mode: u8, len: u16| [&[mode, 0xaa][..], &len.to_be_bytes()].concat();
    let datagram = |mode: u8, len: u16| [&segment(mode | 2, len)[..], &[1]].concat();
    for v6 in [0u8, 1] {
        let version = if v6 == 0 { "v4" } else { "v6" };
        let run = [segment(v6, 1000), segment(v6, 1000), segment(v6, 10)].concat();
        let datagrams = [datagram(v6, 500), datagram(v6, 500)].concat();
        let changed = [&segment(v6 | 0x20, 700)[..], &[0, 8, 1]].concat();
        let broken = [&segment(v6 | 0x10, 700)[..], &[0, 40, 1]].concat();
        let all = [&run[..], &datagrams, &changed, &broken, &run].concat();
        write("merge", version, [&[0, 0, 0][..], &all].concat());
        write("merge", &format!("{version}-refused"), [&[0, 0, 1][..], &all].concat());
        let mut script = vec![0, v6, 1, 3, 0xe8, 0x2e, 0xe0, 0x10, 0, 0, 0, 1];
        script.extend([0, v6, 0, 3, 0xe8, 0x17, 0x70]);
        for one in [segment(v6, 900), segment(v6, 900), datagram(v6, 64)] {
            script.push(2);
            script.extend(one);
        }
        write("packets", version, script);
    }
    let wrong_header = [&segment(0x10, 100)[..], &[0, 10, 1]].concat();
    let among_right = [segment(0, 100), wrong_header, segment(0, 100)].concat();
    write("merge", "header-checksum", [&[0, 0, 0][..], &among_right].concat());
    let raw = [&[1u8][..], &[0; 10], &piece(&header_v4(20, 253))].concat();
    write("packets", "raw", raw);
}

fn header_v4(len: u16, protocol: u8) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header.extend([10, 1, 0, 7, 10, 2, 0, 7]);
    header
}

fn headers() {
    let mut tcp = header_v4(20 + 20 + 100, 6);
    tcp.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 9, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    tcp.extend([7; 100]);
    // Flags, TCP over IPv4, header length, segment, checksum start and offset (native order).
    let words = [40u16, 30, 20, 16].map(u16::to_ne_bytes).concat();
    write("vnet", "tcp4", [&[1, 1][..], &words, &tcp].concat());
    write("vnet", "plain", [&[0; 10][..], &tcp].concat());
    let mut udp = vec![0x60, 0, 0, 0, 0, 108, 17, 64];
    udp.extend([0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    udp.extend([0x20, 1, 0xd, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    udp.extend([0x12, 0x34, 0, 53, 0, 108, 0, 0]);
    udp.extend([7; 100]);
    let words = [48u16, 30, 40, 6].map(u16::to_ne_bytes).concat();
    write("vnet", "udp6", [&[1, 5][..], &words, &udp].concat());
    for (seed, mode) in [("v4", 0x0c), ("v6", 0x0d)] {
        let options = piece(&[2, 4, 5, 180, 1, 3, 3, 7]);
        let syn = [&[mode, 0, 0, 0, 2][..], &options].concat();
        write("mss_clamp", seed, [&[5, 0x8c, 0][..], &syn].concat());
        write("ecn", seed, [&[3][..], &syn].concat());
    }
    let net =
        |kind: u8, owner: u8, bits: &[u8], len: u8| [&[kind, owner][..], bits, &[len]].concat();
    let find = |kind: u8, bits: &[u8]| [&[kind | 2, 0][..], bits].concat();
    let table = [
        net(0, 1, &[10, 0, 0, 0], 8),
        net(0, 2, &[10, 1, 0, 0], 16),
        net(1, 3, &[0x20; 16], 48),
        find(0, &[10, 1, 2, 3]),
        find(1, &[0x20; 16]),
    ];
    write("allowed_ips", "nested", table.concat());
}
