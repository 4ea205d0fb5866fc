//! The floor that decides: from facts to what should be. Pure: no clock, file, socket or lock.

pub(crate) mod announcement;
pub(crate) mod endpoints;
pub(crate) mod kernel;
pub(crate) mod mtu;
pub(crate) mod peers;
pub(crate) mod punctuality;
pub(crate) mod troubles;

pub(crate) use peers::{MachineAddresses, MeshPlan, OuterAddresses, PeerPlan, PlanSources};
