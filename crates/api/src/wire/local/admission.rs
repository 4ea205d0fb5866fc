//! Who may take part in a federation, and who does by Flower's own list.
//!
//! Promises that a list which is too long is refused by its field, and that a state of a later release
//! is passed on.

use zonemesh_core::record::{
    Admission, AdmissionState, AdmittedNode, MAX_ADMITTED, MAX_SUPERNODE_KEY,
};
use zonemesh_core::registry::FederationMember;

use super::super::{WireError, WireProblem, name};
use super::at_most;
use crate::v1;

/// Writes who may take part.
#[must_use]
pub fn members(members: Vec<FederationMember>) -> v1::FederationMembers {
    let written = |member: FederationMember| v1::FederationMember {
        public_key: member.public_key,
        zone: member.zone.to_string(),
        is_online: member.is_online,
        is_connecting: member.is_connecting,
    };
    v1::FederationMembers { members: members.into_iter().map(written).collect() }
}

/// Who may take part, as a gateway says it.
///
/// # Errors
/// [`WireError`]: something is too long or too many, or a zone has no name.
pub fn named_members(wire: v1::FederationMembers) -> Result<Vec<FederationMember>, WireError> {
    at_most("members", wire.members.len(), MAX_ADMITTED)?;
    let read = |member: v1::FederationMember| {
        at_most("members.public_key", member.public_key.len(), MAX_SUPERNODE_KEY)?;
        Ok(FederationMember {
            public_key: member.public_key,
            zone: name("members.zone", &member.zone)?,
            is_online: member.is_online,
            is_connecting: member.is_connecting,
        })
    };
    wire.members.into_iter().map(read).collect()
}

impl From<Admission> for v1::NodeAdmission {
    fn from(admission: Admission) -> Self {
        Self {
            state: admission.state.number(),
            node_id: admission.node_id,
            online_since_unix_s: admission.online_since,
        }
    }
}

impl TryFrom<v1::NodeAdmission> for Admission {
    type Error = WireError;

    fn try_from(wire: v1::NodeAdmission) -> Result<Self, WireError> {
        if wire.state == 0 {
            return Err(WireError::new("admission.state", WireProblem::Missing));
        }
        Ok(Self {
            state: AdmissionState::of(wire.state),
            node_id: wire.node_id,
            online_since: wire.online_since_unix_s,
        })
    }
}

impl From<&AdmittedNode> for v1::AdmittedNode {
    fn from(node: &AdmittedNode) -> Self {
        Self { key: node.key.to_vec(), admission: Some(node.admission.into()) }
    }
}

impl TryFrom<v1::AdmittedNode> for AdmittedNode {
    type Error = WireError;

    fn try_from(wire: v1::AdmittedNode) -> Result<Self, WireError> {
        let length = wire.key.len();
        let wrong_length = |_: Vec<u8>| WireError::new("node.key", WireProblem::IdLength(length));
        let missing = || WireError::new("node.admission", WireProblem::Missing);
        Ok(Self {
            key: wire.key.try_into().map_err(wrong_length)?,
            admission: wire.admission.ok_or_else(missing)?.try_into()?,
        })
    }
}

pub(super) fn node_list(nodes: &[AdmittedNode]) -> v1::NodeList {
    v1::NodeList { nodes: nodes.iter().map(v1::AdmittedNode::from).collect() }
}

pub(super) fn listed_nodes(wire: v1::NodeList) -> Result<Vec<AdmittedNode>, WireError> {
    at_most("nodes", wire.nodes.len(), MAX_ADMITTED)?;
    wire.nodes.into_iter().map(AdmittedNode::try_from).collect()
}
