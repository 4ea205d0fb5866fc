//! Which SuperNodes a SuperLink admits, where it admits by key only.
//!
//! Flower's own list, as the SuperLink's companion has read it: a SuperNode finds itself in it by its
//! key. Promises that it is bounded and that a state of a later release is passed on, and admits
//! nobody. Refuses to know who may be in it.

use sha2::{Digest as _, Sha256};

/// Most SuperNodes that a SuperLink says it admits.
pub const MAX_ADMITTED: usize = 256;

/// The first half of SHA-256 over the key that Flower knows a SuperNode by (SubjectPublicKeyInfo in
/// DER): who would find another key with the same would have to try 2^128.
pub type NodeKeyDigest = [u8; 16];

/// What stands for a key (SubjectPublicKeyInfo in DER).
#[must_use]
pub fn node_key_digest(public_key: &[u8]) -> NodeKeyDigest {
    let whole = Sha256::digest(public_key);
    std::array::from_fn(|index| whole[index])
}

/// Where a SuperNode stands in Flower's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdmissionState {
    /// It may take part; Flower does not have it online.
    Registered,
    /// Flower has it online.
    Online,
    /// Its key was unregistered: Flower never takes it again.
    Spent,
    /// What a later release knows, by its number.
    Other(i32),
}

impl AdmissionState {
    /// What stands for it in records and messages.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Registered => 1,
            Self::Online => 2,
            Self::Spent => 3,
            Self::Other(number) => number,
        }
    }

    /// The one that a number stands for.
    #[must_use]
    pub fn of(number: i32) -> Self {
        match number {
            1 => Self::Registered,
            2 => Self::Online,
            3 => Self::Spent,
            other => Self::Other(other),
        }
    }
}

/// A SuperNode's place in Flower's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Admission {
    /// Where it stands.
    pub state: AdmissionState,
    /// The number that Flower knows it by; 0 if its key is spent.
    pub node_id: u64,
    /// When Flower has it come online last, in seconds since 1970 by the SuperLink's clock; 0 if never.
    /// Another one is another start of Flower.
    pub online_since: u64,
}

/// A SuperNode in Flower's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdmittedNode {
    /// Which.
    pub key: NodeKeyDigest,
    /// Where it stands.
    pub admission: Admission,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_by_its_number_and_one_of_a_later_release_is_kept() {
        for number in 1..=9 {
            assert_eq!(AdmissionState::of(number).number(), number);
        }
        assert_eq!(AdmissionState::of(9), AdmissionState::Other(9));
    }
}
