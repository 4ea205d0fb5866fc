//! What the threat model says that somebody **can** do, done; the other scenarios show what nobody can.
//!
//! A line of `docs/SECURITY.md` is only worth as much as somebody tried it: what fails here has become
//! better than it is written there, or worse.

mod stolen;
mod users;
mod vms;
mod zones;
