//! `zonemesh superlink list`: where each federation's SuperLink is and whether it is ready.

use serde::Serialize;
use zonemesh_api::v1::{SuperLinkView as Reply, SuperLinksReply};

use super::{addresses, readiness, transport};
use crate::output::{Page, Rendered};
use crate::table::Table;

/// All SuperLinks.
#[derive(Debug, Serialize)]
pub(crate) struct SuperLinksView {
    schema: &'static str,
    superlinks: Vec<SuperLink>,
}

/// One SuperLink.
#[derive(Debug, Serialize)]
pub(crate) struct SuperLink {
    federation: String,
    zone: String,
    readiness: &'static str,
    addresses: Vec<String>,
    fleet_port: u32,
    control_port: u32,
    flower_version: String,
    transport: &'static str,
    tls_name: String,
    shadowed: bool,
    cas: Vec<Ca>,
}

/// One CA certificate of its federation.
#[derive(Debug, Serialize)]
struct Ca {
    state: String,
    fingerprint: String,
    pem: String,
}

impl From<SuperLinksReply> for SuperLinksView {
    fn from(reply: SuperLinksReply) -> Self {
        Self {
            schema: "zonemesh/superlinks/v1",
            superlinks: reply.superlinks.into_iter().map(SuperLink::from).collect(),
        }
    }
}

impl From<Reply> for SuperLink {
    fn from(reply: Reply) -> Self {
        Self {
            readiness: readiness(reply.readiness()),
            transport: transport(reply.transport()),
            cas: reply
                .cas
                .into_iter()
                .map(|ca| Ca { state: ca.state, fingerprint: ca.fingerprint, pem: ca.pem })
                .collect(),
            federation: reply.federation,
            zone: reply.zone,
            addresses: reply.addresses,
            fleet_port: reply.fleet_port,
            control_port: reply.control_port,
            flower_version: reply.flower_version,
            tls_name: reply.tls_name,
            shadowed: reply.shadowed,
        }
    }
}

impl SuperLink {
    pub(super) fn table(superlinks: &[Self], page: Page) -> String {
        let mut table = Table::new(&[
            "SUPERLINK",
            "ZONE",
            "ENDPOINT",
            "FLOWER",
            "TRANSPORT",
            "READINESS",
            "CA",
        ]);
        for one in superlinks {
            let readiness = if one.shadowed {
                format!("{} (another zone's is in use)", one.readiness)
            } else {
                one.readiness.to_owned()
            };
            let states: Vec<&str> = one.cas.iter().map(|ca| ca.state.as_str()).collect();
            table.row([
                one.federation.clone(),
                one.zone.clone(),
                addresses(&one.addresses, one.fleet_port).join(", "),
                one.flower_version.clone(),
                one.transport.to_owned(),
                readiness,
                states.join(", "),
            ]);
        }
        table.text(page.header)
    }
}

impl Rendered for SuperLinksView {
    fn text(&self, page: Page) -> String {
        if self.superlinks.is_empty() && page.header {
            return "no SuperLink is registered in any zone\n".to_owned();
        }
        SuperLink::table(&self.superlinks, page)
    }
}
