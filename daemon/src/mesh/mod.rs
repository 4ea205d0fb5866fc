//! The mesh as this gateway takes part in it: from who belongs to it to peers, routes and streams.
//!
//! `plan` decides and is pure; `plane` carries it out, again after each change; `office` issues
//! invitations and signs what an authority may; `join` is the other end of an invitation.

mod hints;
mod office;
mod plan;
mod plane;

pub(crate) use hints::Hints;
pub(crate) use office::{Identity, Office, Refusal, Signed, Wanted};
pub(crate) use plan::{PeerPlan, Plan};
pub(crate) use plane::{Ground, PeerTable, Plane, Wakers};
