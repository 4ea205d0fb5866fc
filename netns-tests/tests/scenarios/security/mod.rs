//! The threat model, done: what somebody **can** do, and what members, VMs and revoked zones try in vain.
//!
//! A line of `docs/SECURITY.md` is only worth as much as somebody tried it: what fails here has become
//! better than it is written there, or worse.

mod false_gateway;
mod floods;
mod forgeries;
mod idle;
mod keys;
mod resumption;
mod stolen;
mod stream;
mod two_inviters;
mod users;
mod vms;
mod zones;
