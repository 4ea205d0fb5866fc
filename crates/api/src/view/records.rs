//! The records that a gateway holds, and those that it waits for: `zonemesh registry list`.

use serde::Serialize;

use super::{Timestamp, known};
use crate::v1::{RecordView, RecordsReply};

/// All records.
#[derive(Debug, Serialize)]
pub struct RecordsView {
    pub schema: &'static str,
    pub records: Vec<RecordEntry>,
    pub missing: Vec<String>,
}

/// One record.
#[derive(Debug, Serialize)]
pub struct RecordEntry {
    pub zone: String,
    pub gateway: String,
    pub release: Option<String>,
    pub incarnation: u64,
    pub seq: u64,
    pub issued_at: Timestamp,
    pub received_at: Timestamp,
    pub size: u32,
    pub verified: bool,
    pub own: bool,
}

impl From<RecordsReply> for RecordsView {
    fn from(reply: RecordsReply) -> Self {
        Self {
            schema: "zonemesh/records/v1",
            records: reply.records.into_iter().map(RecordEntry::from).collect(),
            missing: reply.missing,
        }
    }
}

impl From<RecordView> for RecordEntry {
    fn from(reply: RecordView) -> Self {
        Self {
            zone: reply.zone,
            gateway: reply.gateway,
            release: known(reply.release),
            incarnation: reply.incarnation,
            seq: reply.seq,
            issued_at: reply.issued_at_unix_ms.into(),
            received_at: reply.received_at_unix_ms.into(),
            size: reply.size,
            verified: reply.verified,
            own: reply.own,
        }
    }
}
