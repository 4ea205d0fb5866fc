//! What a zone was when it was invited: an invitation is over once the zone has come or was put out.

use crate::key::ZonePublicKey;
use crate::membership::Membership;
use crate::name::ZoneName;

/// What a zone is in its mesh, as far as an invitation is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InvitedAs {
    /// The key that it is granted with.
    pub key: Option<ZonePublicKey>,
    /// How many of its keys were put out, under whatever authority set.
    pub revoked: u32,
}

impl InvitedAs {
    /// What `zone` is in the mesh now.
    #[must_use]
    pub fn of(zone: &ZoneName, membership: &Membership) -> Self {
        Self {
            key: membership.grant(zone).map(|grant| grant.zone_key),
            revoked: u32::try_from(membership.keys_put_out(zone)).unwrap_or(u32::MAX),
        }
    }
}
