//! What a companion has seen of its federation and of its gateway, over all sessions.
//!
//! Promises that nothing which was seen is forgotten while the gateway is away.

use zonemesh_api::wire::local::RegisteredSuperLink;
use zonemesh_core::registry::FederationMember;

use crate::reason::Reason;

/// What the gateway has shown of the federation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ShownFederation {
    /// Nothing yet: it has not answered since this companion began.
    #[default]
    Unknown,
    /// No SuperLink is registered in any zone.
    NoSuperLink,
    /// This one is.
    SuperLink(Box<RegisteredSuperLink>),
}

impl ShownFederation {
    /// The SuperLink, if one was shown.
    #[must_use]
    pub fn superlink(&self) -> Option<&RegisteredSuperLink> {
        match self {
            Self::SuperLink(superlink) => Some(superlink),
            Self::Unknown | Self::NoSuperLink => None,
        }
    }
}

impl From<Option<RegisteredSuperLink>> for ShownFederation {
    fn from(answered: Option<RegisteredSuperLink>) -> Self {
        answered.map_or(Self::NoSuperLink, |superlink| Self::SuperLink(Box::new(superlink)))
    }
}

/// What the sessions have shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchedFederation {
    /// What was shown last; it outlives the connection.
    pub shown: ShownFederation,
    /// Why there is no session now; `None` while there is, and before the first try ended.
    pub lost: Option<Reason>,
    /// There is a session, and it has shown a view.
    pub connected: bool,
    /// Why the keepalives of this VM do not fit those in force at the gateway.
    pub misfit: Option<Reason>,
    /// Why this VM's zone is out of its mesh: who has revoked it, or that it has left.
    pub out: Option<Reason>,
    /// Who may take part, if this VM's SuperLink was told.
    pub members: Option<Vec<FederationMember>>,
    /// Why this VM has not each route to what lies behind its gateway.
    pub routes: Option<Reason>,
}

impl WatchedFederation {
    /// What is wrong although Flower may run: the gateway is lost, the zone is out, the
    /// federation has two homes, keepalives do not fit, or a route is not as it should be.
    #[must_use]
    pub fn trouble(&self) -> Option<Reason> {
        let conflict = || {
            let superlink = self.shown.superlink().filter(|superlink| superlink.conflict)?;
            Some(Reason::Conflict { zone: superlink.zone.clone() })
        };
        self.lost
            .clone()
            .or_else(|| self.out.clone())
            .or_else(conflict)
            .or_else(|| self.misfit.clone())
            .or_else(|| self.routes.clone())
    }
}
