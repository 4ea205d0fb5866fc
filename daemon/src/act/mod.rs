//! The third floor: makes what is into what the plan says, and goes on trying.
//!
//! Compares the plan with what is there after each change. May use facts, plan and administration;
//! refuses to know who asks and what is shown.

pub(crate) mod barrier;
mod datagram;
pub(crate) mod etcd;
pub(crate) mod last_mile;
pub(crate) mod lookout;
pub(crate) mod network;
pub(crate) mod paths;
pub(crate) mod reachability;
pub(crate) mod reconcile;
pub(crate) mod resolver;
pub(crate) mod standing;
pub(crate) mod start;
pub(crate) mod streams;
pub(crate) mod tunnel;
pub(crate) mod udp_port;

use std::sync::Arc;

use tokio::sync::watch;

use crate::plan::PeerPlan;

/// The peers in service, as they change.
pub(crate) type PeersInService = watch::Receiver<Arc<Vec<PeerPlan>>>;
