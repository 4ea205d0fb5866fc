//! Where signed items lie in etcd and what their values are: pure.
//!
//! `<prefix>/<mesh>/records/<zone>/<gateway>` and `<prefix>/<mesh>/trust/<id>`; a value is the item as it is kept
//! on disk. What an item says counts, not its key. Values that are too long are not even looked into.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::membership::{
    self, ItemError, ItemId, MAX_AUTHORITIES, MAX_ITEM_BYTES, SignedTrustItem,
};
use zonemesh_core::mesh::MeshId;
use zonemesh_core::record::{MAX_RECORD_BYTES, SignedRecord, SignedRecordError};
use zonemesh_core::registry;

/// Most bytes that the form on disk adds to a record, and more.
const FRAME: usize = 1024;
/// Longest value of a record.
const MAX_RECORD_VALUE: usize = MAX_RECORD_BYTES + FRAME;
/// Longest value of a trust item: a key and a signature take less than 128 bytes.
const MAX_TRUST_VALUE: usize = MAX_ITEM_BYTES + MAX_AUTHORITIES * 128 + FRAME;

/// What a key is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EtcdKey {
    Record(GatewayId),
    Trust(ItemId),
}

/// The keys of one mesh.
pub(super) struct EtcdLayout {
    root: String,
    records: String,
    trust: String,
}

impl EtcdLayout {
    pub(super) fn new(prefix: &str, mesh: &MeshId) -> Self {
        let root = format!("{prefix}/{mesh}/");
        Self { records: format!("{root}records/"), trust: format!("{root}trust/"), root }
    }

    /// What all keys begin with.
    pub(super) fn root(&self) -> &[u8] {
        self.root.as_bytes()
    }

    /// What the keys of records begin with.
    pub(super) fn records(&self) -> &[u8] {
        self.records.as_bytes()
    }

    /// What the keys of trust items begin with.
    pub(super) fn trust(&self) -> &[u8] {
        self.trust.as_bytes()
    }

    pub(super) fn key(&self, place: &EtcdKey) -> Vec<u8> {
        let key = match place {
            EtcdKey::Record(id) => format!("{}{id}", self.records),
            EtcdKey::Trust(id) => format!("{}{id}", self.trust),
        };
        key.into_bytes()
    }

    /// `None` for a key that no gateway writes.
    pub(super) fn place(&self, key: &[u8]) -> Option<EtcdKey> {
        let key = std::str::from_utf8(key).ok()?;
        if let Some(gateway) = key.strip_prefix(&self.records) {
            return gateway.parse().ok().map(EtcdKey::Record);
        }
        item_id(key.strip_prefix(&self.trust)?).map(EtcdKey::Trust)
    }
}

fn item_id(text: &str) -> Option<ItemId> {
    let digit = |byte: &u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits: Vec<u8> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n << 4 | d)).collect();
    let whole = digits.len() == 64;
    bytes.try_into().ok().filter(|_| whole).map(ItemId)
}

/// The record that a value holds.
pub(super) fn record(value: &[u8]) -> Result<SignedRecord, registry::RecordRejected> {
    if value.len() > MAX_RECORD_VALUE {
        return Err(registry::RecordRejected::TooLarge);
    }
    match SignedRecord::from_file_bytes(value) {
        Ok(record) => Ok(record),
        Err(SignedRecordError::TooLarge(_)) => Err(registry::RecordRejected::TooLarge),
        Err(_) => Err(registry::RecordRejected::Malformed),
    }
}

/// The trust item that a value holds.
pub(super) fn trust_item(value: &[u8]) -> Result<SignedTrustItem, membership::TrustRejected> {
    if value.len() > MAX_TRUST_VALUE {
        return Err(membership::TrustRejected::TooLarge);
    }
    match SignedTrustItem::from_file_bytes(value) {
        Ok(item) => Ok(item),
        Err(ItemError::TooLarge(_)) => Err(membership::TrustRejected::TooLarge),
        Err(_) => Err(membership::TrustRejected::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zonemesh_core::membership::{AuthoritySignature, TrustKind};

    fn layout() -> EtcdLayout {
        EtcdLayout::new("/zonemesh", &MeshId::new("5a".repeat(32)))
    }

    #[test]
    fn each_place_has_a_key_of_its_own_and_is_found_by_it() {
        let id = ItemId(std::array::from_fn(|i| u8::try_from(i * 8).unwrap()));
        for place in [EtcdKey::Record("berlin/gw1".parse().unwrap()), EtcdKey::Trust(id)] {
            let key = layout().key(&place);
            assert!(key.starts_with(layout().root()));
            assert_eq!(layout().place(&key), Some(place));
        }
        let key = layout().key(&EtcdKey::Record("berlin/gw1".parse().unwrap()));
        let expected = format!("/zonemesh/{}/records/berlin/gw1", "5a".repeat(32));
        assert_eq!(String::from_utf8(key).unwrap(), expected);
    }

    #[test]
    fn keys_that_no_gateway_writes_are_nothing() {
        let root = format!("/zonemesh/{}/", "5a".repeat(32));
        let long = "ab".repeat(33);
        let upper = "AB".repeat(32);
        for tail in [
            "",
            "records/",
            "records/berlin",
            "records/Berlin/gw1",
            "records/a/b/c",
            "trust/",
            "trust/ab",
            "other/x",
        ] {
            assert_eq!(layout().place(format!("{root}{tail}").as_bytes()), None, "{tail}");
        }
        for id in [&long, &upper, &"ab".repeat(31), &"g0".repeat(32), &"a".repeat(63)] {
            assert_eq!(layout().place(format!("{root}trust/{id}").as_bytes()), None, "{id}");
        }
        assert_eq!(layout().place(b"/zonemesh/other/records/berlin/gw1"), None);
        assert_eq!(layout().place(&[0xff, 0xfe]), None);
    }

    #[test]
    fn a_value_is_the_item_as_it_is_kept_on_disk() {
        let signed = SignedRecord::from_parts(vec![7; 100].into(), &[1; 64]).unwrap();
        assert_eq!(record(&signed.to_file_bytes()), Ok(signed));
        let payload = vec![7; MAX_ITEM_BYTES].into();
        let identity = membership::AuthorityIdentity::from_seed(&[1; 32]);
        let signature = AuthoritySignature { key: identity.public_key(), signature: [3; 64] };
        let signatures = vec![signature; MAX_AUTHORITIES];
        let item = SignedTrustItem::from_parts(TrustKind::Grant, payload, signatures);
        assert_eq!(trust_item(&item.to_file_bytes()), Ok(item));
    }

    #[test]
    fn garbage_and_oversized_values_are_refused_by_their_reason() {
        use membership::TrustRejected as Trust;
        use registry::RecordRejected as Record;
        for garbage in
            [&b""[..], b"nonsense", b"zonemesh-record-1\ncut", b"zonemesh-trust-1\n\xff\xff"]
        {
            assert_eq!(record(garbage), Err(Record::Malformed));
            assert_eq!(trust_item(garbage), Err(Trust::Malformed));
        }
        assert_eq!(record(&vec![0; 1_500_000]), Err(Record::TooLarge));
        assert_eq!(trust_item(&vec![0; 1_500_000]), Err(Trust::TooLarge));
        let large = SignedRecord::from_parts(vec![7; MAX_RECORD_BYTES + 1].into(), &[1; 64]);
        assert_eq!(record(&large.unwrap().to_file_bytes()), Err(Record::TooLarge));
        let payload = vec![7; MAX_ITEM_BYTES + 1].into();
        let item = SignedTrustItem::from_parts(TrustKind::Grant, payload, Vec::new());
        assert_eq!(trust_item(&item.to_file_bytes()), Err(Trust::TooLarge));
    }
}
