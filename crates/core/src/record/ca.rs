//! What a record says about a federation's CA certificates, each with its place in the rotation.

use super::CertificateDer;
use crate::name::FederationName;

/// Place of a CA certificate in the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CaState {
    /// To be trusted already, signs nothing yet.
    Next,
    /// Signs.
    Active,
    /// Signs nothing any more, still trusted.
    Retiring,
}

impl CaState {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }

    /// What stands for it in records.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Next => 1,
            Self::Active => 2,
            Self::Retiring => 3,
        }
    }

    /// The one that a number stands for; none that a later release may know.
    #[must_use]
    pub fn of(number: i32) -> Option<Self> {
        [Self::Next, Self::Active, Self::Retiring].into_iter().find(|s| s.number() == number)
    }
}

/// A CA certificate of a federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    /// The certificate.
    pub certificate: CertificateDer,
    /// Its place in the rotation.
    pub state: CaState,
}

/// The CA certificates of one federation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaSet {
    /// The federation.
    pub federation: FederationName,
    /// Its certificates.
    pub certificates: Vec<CaCertificate>,
}
