//! Who belongs to a mesh: invitations, grants, revocations, identities, authorities.

mod authorities;
mod founded_elsewhere;
mod founded_with_federation;
mod from_context;
mod gateway_vm;
mod identity;
mod invitations;
mod join_by_invitation;
mod leaving;
mod put_out;
mod told;
