//! The gateway agent of a zone, as a library: the binary and the tests stand on it.
//!
//! Four floors, each of which uses those below it only: `facts` (what is known), `plan` (what should
//! be), `act` (makes it so), `serve` (what others see and ask); beside them `administration`, the
//! changes that people ask for. docs/ARCHITECTURE.md.

mod act;
mod administration;
pub mod agent;
pub mod anew;
mod boards;
pub mod configuration;
mod descriptors;
mod facts;
pub mod failed_starts;
pub mod failure;
pub mod logging;
mod plan;
mod serve;
pub mod signals;
mod supervisor;

pub use act::barrier::{clear, guard, guard_as_before};
pub use act::network::Network;
pub use descriptors::raise_descriptor_limit;
pub use facts::clock::raise as raise_clock;
pub use facts::tunnel::DataPlane;
