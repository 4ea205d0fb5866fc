//! Whether the join service is wanted, and how it fares: said by the administration, and by who serves.

/// The state of the join service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// The mesh is written by hand: nobody joins it.
    Off,
    /// It is a managed one: it is about to listen.
    Wanted,
    /// It listens.
    On,
    /// It cannot, with the reason; it tries again.
    Failed(String),
}
