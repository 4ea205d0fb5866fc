//! `zonemesh registry list`: which zone records this gateway holds, and which it still waits for.

use serde::Serialize;
use zonemesh_api::v1::{RecordView as Reply, RecordsReply};

use super::Moment;
use crate::output::{Page, Rendered};
use crate::quantity::{ago, bytes};
use crate::table::Table;

/// All records.
#[derive(Debug, Serialize)]
pub(crate) struct RecordsView {
    schema: &'static str,
    records: Vec<Record>,
    missing: Vec<String>,
}

/// One record.
#[derive(Debug, Serialize)]
struct Record {
    zone: String,
    incarnation: u64,
    seq: u64,
    issued_at: Moment,
    received_at: Moment,
    size: u32,
    verified: bool,
    own: bool,
}

impl From<RecordsReply> for RecordsView {
    fn from(reply: RecordsReply) -> Self {
        Self {
            schema: "zonemesh/records/v1",
            records: reply.records.into_iter().map(Record::from).collect(),
            missing: reply.missing,
        }
    }
}

impl From<Reply> for Record {
    fn from(reply: Reply) -> Self {
        Self {
            zone: reply.zone,
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

impl Rendered for RecordsView {
    fn text(&self, page: Page) -> String {
        let mut table = Table::new(&["ZONE", "VERSION", "ISSUED", "RECEIVED", "SIZE", "SIGNATURE"]);
        for record in &self.records {
            let name = if record.own { " (local)" } else { "" };
            table.row([
                format!("{}{name}", record.zone),
                format!("{}.{}", record.incarnation, record.seq),
                ago(record.issued_at.0, page.now),
                if record.own { String::new() } else { ago(record.received_at.0, page.now) },
                bytes(record.size.into()),
                if record.verified { "verified" } else { "not verified" }.to_owned(),
            ]);
        }
        for zone in &self.missing {
            let never = || "never".to_owned();
            table.row([
                zone.clone(),
                String::new(),
                String::new(),
                never(),
                String::new(),
                String::new(),
            ]);
        }
        table.text(page.header)
    }
}
