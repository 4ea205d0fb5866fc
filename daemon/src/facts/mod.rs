//! The lowest floor: what is known. Of the mesh, the disk, the tunnel, the paths, the kernel, the clock.
//!
//! Others read it as it is now and wait for its changes. Uses no other floor.

pub(crate) mod certificates;
pub(crate) mod clock;
pub(crate) mod companions;
pub(crate) mod disk;
pub(crate) mod etcd;
pub(crate) mod findings;
pub(crate) mod hints;
pub(crate) mod in_force;
pub(crate) mod journal;
pub(crate) mod keepalives;
pub(crate) mod kernel;
pub(crate) mod lan;
pub(crate) mod ledger;
pub(crate) mod pairs;
pub(crate) mod paths;
pub(crate) mod port_holder;
pub(crate) mod rate_limits;
pub(crate) mod reach;
pub(crate) mod refused_vms;
pub(crate) mod streams;
pub(crate) mod tokens;
pub(crate) mod tunnel;
pub(crate) mod wan;
