//! A record's way through bytes: what was signed comes back the same, and no bytes can harm.

use bytes::Bytes;
use proptest::prelude::*;
use zonemesh_core::record::{Readiness, RecordContent, SignedRecord, SignedRecordError};

use crate::zones::{draft, identity, record, signed, superlink};

#[test]
fn a_record_comes_back_as_it_was_signed_also_from_its_file() {
    let mut content = draft(1, 51821);
    content.superlinks = vec![superlink(1)];
    content.prefixes.push("fd00:1::/48".parse().unwrap());
    let record = record(1, u64::MAX, content);
    let signed = SignedRecord::sign(&record, &identity(1));
    assert_eq!(signed.decode().unwrap(), record);
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
            Readiness::Starting, Readiness::Ready, Readiness::Stopped,
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
