//! Messages of replication between gateways.

use zonemesh_core::gateway::GatewayId;
use zonemesh_core::mesh::MeshId;
use zonemesh_core::name::ZoneName;
use zonemesh_core::record::{ProtocolRange, SignedRecord, Version};
use zonemesh_core::registry::{RecordHead, VersionVector};
use zonemesh_core::replication::{
    ClockEcho, ClockStamp, DropCount, HeldTrust, HeldVersions, MAX_DROP_REASONS, RegistryDigest,
    StreamBody, StreamHello, StreamMessage, TunnelCounters,
};
use zonemesh_core::time::UnixMillis;

use super::trust::{trust_hash, trust_items};
use super::{WireError, WireProblem, hash, name};
use crate::v1;
use crate::v1::registry_message::Kind;

/// Longest name of a reason, in characters.
const MAX_REASON_CHARS: usize = 64;

impl From<StreamMessage> for v1::RegistryMessage {
    fn from(message: StreamMessage) -> Self {
        let echo = message.clock.echo.map(|echo| v1::ClockEcho {
            sent_at_unix_ms: echo.sent_at.0,
            received_at_unix_ms: echo.received_at.0,
        });
        let clock = v1::Clock { sent_at_unix_ms: message.clock.sent_at.0, echo };
        Self { clock: Some(clock), kind: kind(message.body) }
    }
}

fn kind(body: StreamBody) -> Option<Kind> {
    Some(match body {
        StreamBody::Hello(hello) => Kind::Hello(v1::Hello {
            mesh: hello.mesh.as_str().to_owned(),
            zone: hello.zone.into(),
            protocol_min: hello.protocol.min,
            protocol_max: hello.protocol.max,
            root_hash: hello.holds.root_hash.to_vec(),
            trust_hash: hello.holds.trust_hash.map(Vec::from).unwrap_or_default(),
        }),
        StreamBody::Versions(versions) => Kind::Versions(v1::Versions {
            items: versions.records.into_iter().map(|(id, head)| item_version(id, head)).collect(),
            trust: versions.trust.as_ref().map(v1::TrustIds::from),
        }),
        StreamBody::TrustIds(held) => Kind::TrustIds(v1::TrustIds::from(&held)),
        StreamBody::Items(items) => {
            Kind::Items(v1::Items { items: items.iter().map(signed_item).collect() })
        }
        StreamBody::Trust(items) => {
            Kind::Trust(v1::TrustItems { items: items.iter().map(v1::TrustItem::from).collect() })
        }
        StreamBody::Digest(holds) => Kind::Digest(v1::Digest {
            root_hash: holds.root_hash.to_vec(),
            trust_hash: holds.trust_hash.map(Vec::from).unwrap_or_default(),
        }),
        StreamBody::CountersQuestion => Kind::CountersQuestion(v1::CountersQuestion {}),
        StreamBody::Counters(counters) => Kind::Counters(tunnel_counters(counters)),
        StreamBody::Unknown => return None,
    })
}

fn tunnel_counters(counters: TunnelCounters) -> v1::TunnelCounters {
    let dropped = |one: DropCount| v1::DropCount { reason: one.reason, count: one.count };
    v1::TunnelCounters {
        rx_bytes: counters.rx_bytes,
        tx_bytes: counters.tx_bytes,
        latest_handshake_unix_ms: counters.latest_handshake.map_or(0, |at| at.0),
        unanswered_initiations: counters.unanswered_initiations,
        dropped: counters.dropped.into_iter().take(MAX_DROP_REASONS).map(dropped).collect(),
    }
}

/// Further reasons and their excess are left out: they are for people.
fn read_counters(wire: v1::TunnelCounters) -> TunnelCounters {
    let dropped = |one: v1::DropCount| DropCount {
        reason: one.reason.chars().take(MAX_REASON_CHARS).collect(),
        count: one.count,
    };
    let handshake = wire.latest_handshake_unix_ms;
    TunnelCounters {
        rx_bytes: wire.rx_bytes,
        tx_bytes: wire.tx_bytes,
        latest_handshake: (handshake != 0).then_some(UnixMillis(handshake)),
        unanswered_initiations: wire.unanswered_initiations,
        dropped: wire.dropped.into_iter().take(MAX_DROP_REASONS).map(dropped).collect(),
    }
}

fn item_version(id: GatewayId, head: RecordHead) -> v1::ItemVersion {
    v1::ItemVersion {
        zone: id.zone.into(),
        gateway: id.gateway,
        incarnation: head.version.incarnation,
        seq: head.version.seq,
        digest: head.digest,
    }
}

pub(super) fn signed_item(record: &SignedRecord) -> v1::SignedItem {
    v1::SignedItem { payload: record.payload().clone(), signature: record.signature().to_vec() }
}

impl TryFrom<v1::RegistryMessage> for StreamMessage {
    type Error = WireError;

    fn try_from(wire: v1::RegistryMessage) -> Result<Self, WireError> {
        let missing = |field: &str| WireError::new(field, WireProblem::Missing);
        let clock = wire.clock.ok_or_else(|| missing("clock"))?;
        Ok(Self {
            clock: ClockStamp {
                sent_at: UnixMillis(clock.sent_at_unix_ms),
                echo: clock.echo.map(|echo| ClockEcho {
                    sent_at: UnixMillis(echo.sent_at_unix_ms),
                    received_at: UnixMillis(echo.received_at_unix_ms),
                }),
            },
            body: wire.kind.map_or(Ok(StreamBody::Unknown), StreamBody::try_from)?,
        })
    }
}

impl TryFrom<Kind> for StreamBody {
    type Error = WireError;

    fn try_from(kind: Kind) -> Result<Self, WireError> {
        Ok(match kind {
            Kind::Hello(hello) => Self::Hello(StreamHello {
                mesh: MeshId::new(hello.mesh),
                zone: name("hello.zone", &hello.zone)?,
                protocol: ProtocolRange { min: hello.protocol_min, max: hello.protocol_max },
                holds: RegistryDigest {
                    root_hash: hash("hello.root_hash", &hello.root_hash)?,
                    trust_hash: trust_hash("hello.trust_hash", &hello.trust_hash)?,
                },
            }),
            Kind::Versions(versions) => Self::Versions(HeldVersions {
                trust: versions.trust.map(HeldTrust::try_from).transpose()?,
                records: version_vector(versions.items)?,
            }),
            Kind::TrustIds(ids) => Self::TrustIds(HeldTrust::try_from(ids)?),
            Kind::Items(items) => Self::Items(signed_records(items)?),
            Kind::Trust(items) => Self::Trust(trust_items("trust.items", items.items)?),
            Kind::CountersQuestion(v1::CountersQuestion {}) => Self::CountersQuestion,
            Kind::Counters(counters) => Self::Counters(read_counters(counters)),
            Kind::Digest(digest) => Self::Digest(RegistryDigest {
                root_hash: hash("digest.root_hash", &digest.root_hash)?,
                trust_hash: trust_hash("digest.trust_hash", &digest.trust_hash)?,
            }),
        })
    }
}

fn version_vector(items: Vec<v1::ItemVersion>) -> Result<VersionVector, WireError> {
    let mut vector = VersionVector::new();
    for (index, item) in items.into_iter().enumerate() {
        let field = |name: &str| format!("versions.items[{index}].{name}");
        let head = RecordHead {
            version: Version { incarnation: item.incarnation, seq: item.seq },
            digest: item.digest,
        };
        let zone: ZoneName = name(&field("zone"), &item.zone)?;
        let id = format!("{zone}/{}", item.gateway).parse::<GatewayId>();
        let id =
            id.map_err(|error| WireError::new(field("gateway"), WireProblem::Gateway(error)))?;
        if vector.insert(id, head).is_some() {
            return Err(WireError::new(field("gateway"), WireProblem::Duplicate));
        }
    }
    Ok(vector)
}

fn signed_records(items: v1::Items) -> Result<Vec<SignedRecord>, WireError> {
    let record = |(index, item): (usize, v1::SignedItem)| {
        SignedRecord::from_parts(item.payload, &item.signature).map_err(|source| {
            let field = format!("items.items[{index}].signature");
            WireError::new(field, WireProblem::Record(source))
        })
    };
    items.items.into_iter().enumerate().map(record).collect()
}
