//! What a session wants done after a message.

use crate::gateway::GatewayId;
use crate::member::OutOfBounds;
use crate::name::ZoneName;
use crate::registry::RecordRejected;

use super::StreamMessage;

/// What is to be done after a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SessionOutput {
    /// To be sent to the neighbour, in this order.
    pub messages: Vec<StreamMessage>,
    /// Gateways whose record has changed (after what [`poll_trust`] tells): store it, then call
    /// [`handle_change`] of every session, this one included, and wake those who watch.
    ///
    /// [`poll_trust`]: crate::registry::Registry::poll_trust
    /// [`handle_change`]: super::ReplicationSession::handle_change
    pub changed: Vec<GatewayId>,
    /// Records that were refused, for the log; they are counted already. Of a zone whose key this
    /// gateway may have wrong there are none: whoever passes them on is honest.
    pub rejected: Vec<RecordRejected>,
    /// Records that were refused for what they claim, whoever passed them on; they are counted already.
    pub claims: Vec<RefusedClaim>,
}

/// A record of a zone that claims what is not that zone's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClaim {
    /// Whose record it is.
    pub zone: ZoneName,
    /// What it claims.
    pub claim: OutOfBounds,
}
