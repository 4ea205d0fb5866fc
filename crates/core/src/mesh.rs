//! The name of a mesh, and the hash over what a gateway holds of it.
//!
//! Both stand in what gateways say to each other and in what authorities sign. They lie here, below
//! every state machine, so that `membership`, `registry` and `replication` can use them without
//! knowing each other.

use std::fmt;

/// A hash over all records, or over all trust items, that a gateway holds (SHA-256).
pub type RootHash = [u8; 32];

/// The name of a mesh. Gateways of different meshes refuse each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeshId(String);

impl MeshId {
    /// The mesh of gateways whose peers are written by hand.
    #[must_use]
    pub fn static_peers() -> Self {
        Self("static".to_owned())
    }

    /// True if the members of this mesh are written by hand.
    #[must_use]
    pub fn is_static(&self) -> bool {
        *self == Self::static_peers()
    }

    /// True if this may name a managed mesh: 64 hexadecimal digits.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        let digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        self.0.len() == 64 && self.0.bytes().all(digit)
    }

    /// A mesh as a neighbour names it.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MeshId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
