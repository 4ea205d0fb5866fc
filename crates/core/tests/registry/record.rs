//! A record's way through bytes: what was signed comes back the same, and no bytes can harm.

use bytes::Bytes;
use proptest::prelude::*;
use zonemesh_core::record::{
    Admission, AdmissionState, AdmittedNode, CaCertificate, CaSet, CaState, CertificateDer,
    EndpointKind, FlowerTransport, FurtherEndpoint, HeldCa, Lane, MAX_ADMITTED, MAX_ENDPOINTS,
    MAX_RECORD_BYTES, MAX_SUPERNODES, MAX_TUNNEL_IPS, Readiness, RecordContent, SignedRecord,
    SignedRecordError, TransitOffer, ZoneRecord, ZoneSuperNode,
};

use crate::zones::{draft, identity, name, proof, record, signed, superlink, wireguard};

#[test]
fn a_record_comes_back_as_it_was_signed_also_from_its_file() {
    let mut content = draft(1, 51821);
    content.superlinks = vec![superlink(1)];
    content.prefixes.push("fd00:1::/48".parse().unwrap());
    let record = record(1, u64::MAX, content);
    let signed = SignedRecord::sign(&record, &identity(1));
    let read = signed.decode().unwrap();
    assert!(read.certificate.is_some());
    assert_eq!(ZoneRecord { certificate: None, ..read }, record);
    let stored = SignedRecord::from_file_bytes(&signed.to_file_bytes()).unwrap();
    assert_eq!(stored, signed);
    assert!(stored.verify(&identity(1).public_key()));
    assert!(!stored.verify(&identity(2).public_key()));
}

#[test]
fn a_file_of_another_kind_or_cut_off_says_so() {
    let bytes = signed(1, 1, 1).to_file_bytes();
    assert_eq!(SignedRecord::from_file_bytes(b"{}"), Err(SignedRecordError::Magic));
    let cut = SignedRecord::from_file_bytes(&bytes[..50]);
    assert_eq!(cut, Err(SignedRecordError::Truncated(50)));
}

/// The field that the decoder names after `change`.
fn refused(change: impl Fn(&mut RecordContent)) -> String {
    let mut content = draft(1, 51821);
    content.superlinks = vec![superlink(1)];
    change(&mut content);
    let signed = SignedRecord::sign(&record(1, 1, content), &identity(1));
    signed.decode().unwrap_err().field
}

#[test]
fn a_refused_field_is_named_by_its_path() {
    assert_eq!(refused(|c| c.gateways[0].registry_port = 0), "gateways[0].registry_port");
    assert_eq!(refused(|c| c.prefixes.push("10.10.1.9/24".parse().unwrap())), "prefixes[1]");
    assert_eq!(refused(|c| c.superlinks[0].addresses.clear()), "superlinks[0].addresses");
    let command = "1.25.0; reboot".to_owned();
    let version = refused(|c| c.superlinks[0].flower_version.clone_from(&command));
    assert_eq!(version, "superlinks[0].flower_version");
    let twice = refused(|c| c.superlinks.push(superlink(1)));
    assert_eq!(twice, "superlinks[1]");
    assert_eq!(refused(|c| c.protocol.min = 9), "protocol");
}

/// One field of a message with a length (RFC: protobuf, wire type 2).
fn field(tag: u32, bytes: &[u8]) -> Vec<u8> {
    let mut field = Vec::new();
    prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut field);
    prost::encoding::encode_varint(bytes.len() as u64, &mut field);
    field.extend_from_slice(bytes);
    field
}

#[test]
fn what_a_later_release_adds_to_a_record_is_passed_over_and_the_rest_holds() {
    let certificate = |state| CaCertificate {
        certificate: CertificateDer::new(vec![0x30, 3, 2, 1, 0].into()).unwrap(),
        state,
    };
    let mut content = draft(1, 51821);
    content.superlinks = vec![superlink(1)];
    content.superlinks[0].readiness = Readiness::Other(9);
    content.superlinks[0].transport = FlowerTransport::Other(7);
    content.ca_sets = vec![CaSet {
        federation: superlink(1).federation,
        certificates: vec![certificate(CaState::Active), certificate(CaState::Retiring)],
    }];
    let today = SignedRecord::sign(&record(1, 1, content.clone()), &identity(1));
    let mut payload = today.payload().to_vec();
    // A certificate in state 3 is now in one that nobody knows yet.
    let state = b"\x10\x03\x1a\x05\x30\x03\x02\x01\x00";
    let at = payload.windows(state.len()).position(|bytes| bytes == state).unwrap();
    payload[at + 1] = 99;
    payload.extend(field(4000, b"what nobody knows yet"));
    let later = SignedRecord::from_parts(Bytes::from(payload), &[0; 64]).unwrap();
    content.ca_sets[0].certificates.truncate(1);
    assert_eq!(later.decode().unwrap().content, content);
}

/// The certificate as release 0.1.0 wrote it: in PEM, in a field of its own.
#[test]
fn a_ca_certificate_of_the_first_release_is_read_in_the_form_of_today() {
    let pem = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
    let mut content = draft(1, 51821);
    let certificate = CertificateDer::from_pem(pem).unwrap();
    let active = CaCertificate { certificate, state: CaState::Active };
    content.ca_sets =
        vec![CaSet { federation: superlink(1).federation, certificates: vec![active] }];
    let today = SignedRecord::sign(&record(1, 1, content.clone()), &identity(1));
    let payload = today.payload().to_vec();
    let form = b"\x12\x09\x10\x02\x1a\x05\x30\x03\x02\x01\x00";
    let at = payload.windows(form.len()).position(|bytes| bytes == form).unwrap();
    // Set 10: the federation and one certificate.
    let length_at = at - 1 - (2 + superlink(1).federation.as_str().len());
    assert_eq!(payload[length_at - 1], 0x52, "{payload:02x?}");
    let crlf = pem.replace('\n', "\r\n");
    let old = [field(1, crlf.as_bytes()), vec![0x10, 2]].concat();
    let mut set = field(1, superlink(1).federation.as_str().as_bytes());
    set.extend(field(2, &old));
    let before = [&payload[..length_at - 1], &field(10, &set)].concat();
    let old = [before, payload[at + form.len()..].to_vec()].concat();
    let old = SignedRecord::from_parts(Bytes::from(old), &[0; 64]).unwrap();
    assert_eq!(old.decode().unwrap().content, content);
}

/// All that a record has room for.
fn full() -> RecordContent {
    let mut content = draft(1, 51821);
    let endpoint = |kind| FurtherEndpoint { kind, endpoint: "203.0.113.7:443".to_owned() };
    let kinds =
        [EndpointKind::Udp, EndpointKind::Udp443, EndpointKind::Tcp443, EndpointKind::Observed];
    let gateway = &mut content.gateways[0];
    gateway.further_endpoints = kinds.map(endpoint).to_vec();
    let key = |number| wireguard(number).public_key();
    gateway.wireguard_key = key(1);
    gateway.next_wireguard_key = Some(key(2));
    let lane = |number: u8| Lane {
        wireguard_key: key(2 * number + 1),
        next_wireguard_key: Some(key(2 * number + 2)),
        port_offset: 11,
    };
    gateway.lanes = (1..=15).map(lane).collect();
    gateway.proofs = (1..=32).map(|number| proof(1, number)).collect();
    content.superlinks = vec![superlink(1)];
    content.superlinks[0].readiness = Readiness::Lost;
    content.superlinks[0].dns_name = Some("superlink.hospital.example".to_owned());
    content.superlinks[0].cas = vec![HeldCa { certificate: [7; 32], state: CaState::Next }];
    let admitted = |number: usize| AdmittedNode {
        key: [number as u8; 16],
        admission: Admission {
            state: AdmissionState::of(1 + number as i32 % 4),
            node_id: u64::MAX - number as u64,
            online_since: 1_800_000_000,
        },
    };
    content.superlinks[0].admitted = Some((0..MAX_ADMITTED).map(admitted).collect());
    content.release = Some("0.2.0".to_owned());
    content.transit = Some(TransitOffer { zones: vec![name(2)], bytes_per_second: 1 << 20 });
    let node = |number: usize| ZoneSuperNode {
        federation: "a".repeat(63).parse().unwrap(),
        public_key: vec![number as u8; 120],
        ca: Some([7; 32]),
        is_online: number.is_multiple_of(2),
        is_connecting: number.is_multiple_of(3),
    };
    content.supernodes = (0..MAX_SUPERNODES).map(node).collect();
    content
}

#[test]
fn all_that_a_record_has_room_for_comes_back_and_64_supernodes_fit() {
    let signed = SignedRecord::sign(&record(1, 1, full()), &identity(1));
    assert_eq!(signed.decode().unwrap().content, full());
    let bytes = signed.payload().len();
    assert!(bytes < MAX_RECORD_BYTES / 2, "{bytes} bytes");
}

#[test]
fn each_list_is_bounded() {
    let too_many = |change: &dyn Fn(&mut RecordContent)| refused(change);
    let node = full().supernodes[0].clone();
    let endpoint = full().gateways[0].further_endpoints[0].clone();
    let ip = |n: usize| std::net::IpAddr::from([10, 255, 0, n as u8]);
    assert_eq!(too_many(&|c| c.gateways = vec![c.gateways[0].clone(); 17]), "gateways");
    assert_eq!(too_many(&|c| c.prefixes = vec![c.prefixes[0]; 1025]), "prefixes");
    assert_eq!(too_many(&|c| c.superlinks = vec![superlink(1); 65]), "superlinks");
    assert_eq!(too_many(&|c| c.supernodes = vec![node.clone(); 65]), "supernodes");
    let further = vec![endpoint.clone(); MAX_ENDPOINTS + 1];
    let path = too_many(&|c| c.gateways[0].further_endpoints.clone_from(&further));
    assert_eq!(path, "gateways[0].further_endpoints");
    let ips: Vec<_> = (0..=MAX_TUNNEL_IPS).map(ip).collect();
    let path = too_many(&|c| c.gateways[0].tunnel_ips.clone_from(&ips));
    assert_eq!(path, "gateways[0].tunnel_ips");
    let path = too_many(&|c| c.superlinks[0].addresses = vec![ip(1); 17]);
    assert_eq!(path, "superlinks[0].addresses");
    let cas = vec![HeldCa { certificate: [7; 32], state: CaState::Next }; 9];
    assert_eq!(too_many(&|c| c.superlinks[0].cas.clone_from(&cas)), "superlinks[0].cas");
    let admitted = full().superlinks[0].admitted.clone().unwrap()[0];
    let path = too_many(&|c| c.superlinks[0].admitted = Some(vec![admitted; MAX_ADMITTED + 1]));
    assert_eq!(path, "superlinks[0].admitted");
    let long = ZoneSuperNode { public_key: vec![7; 161], ..node.clone() };
    let path = too_many(&|c| c.supernodes = vec![long.clone()]);
    assert_eq!(path, "supernodes[0].public_key");
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let signed = SignedRecord::from_parts(Bytes::from(payload), &[0; 64]).unwrap();
        let _refused_or_not = signed.decode();
    }

    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0..8) {
        let original = signed(1, 1, 1);
        let mut bytes = original.to_file_bytes();
        let index = at.index(bytes.len());
        bytes[index] ^= 1_u8 << bit;
        let noticed = SignedRecord::from_file_bytes(&bytes)
            .map_or(true, |changed| !changed.verify(&identity(1).public_key()));
        prop_assert!(noticed);
    }

    #[test]
    fn contents_come_back(
        port in 1..=u16::MAX,
        offset in any::<i64>(),
        readiness in prop::sample::select(vec![
            Readiness::Starting, Readiness::Ready, Readiness::Stopped, Readiness::Lost,
        ]),
    ) {
        let mut content = draft(3, port);
        content.superlinks = vec![superlink(3)];
        content.superlinks[0].clock_offset_ms = offset;
        content.superlinks[0].readiness = readiness;
        let signed = SignedRecord::sign(&record(3, 1, content.clone()), &identity(3));
        prop_assert_eq!(signed.decode().unwrap().content, content);
    }
}
