//! Whether the join service is wanted, and how it fares: said by who invites, and by who serves.

/// The state of the join service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nobody was invited.
    Off,
    /// Somebody was: it is about to listen.
    Wanted,
    /// It listens.
    On,
    /// It cannot, with the reason; it tries again.
    Failed(String),
}
