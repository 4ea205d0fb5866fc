//! Names of zones and federations: DNS labels, valid by construction.
//!
//! A zone name stands in records, certificates and file names, a federation name in the mesh DNS
//! name of its SuperLink; both are RFC 1123 labels in lower case, 1 to 63 characters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is no valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or longer than a DNS label.
    #[error("a name has 1 to 63 characters, this one has {0}")]
    Length(usize),
    /// A character outside `a-z`, `0-9` and `-`.
    #[error("{0:?} is not allowed in a name: use a-z, 0-9 and '-'")]
    Character(char),
    /// A hyphen at one of the ends.
    #[error("a name neither starts nor ends with '-'")]
    Hyphen,
}

pub(crate) fn check_label(text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > 63 {
        return Err(NameError::Length(text.len()));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    if let Some(c) = text.chars().find(|c| !allowed(c)) {
        return Err(NameError::Character(c));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err(NameError::Hyphen);
    }
    Ok(())
}

/// The name of a zone, unique in its mesh.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(Arc<str>);

/// The name of a Flower federation, unique in its mesh.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FederationName(Arc<str>);

impl FederationName {
    /// The name in the certificate of this federation's SuperLink; it is never looked up in DNS.
    #[must_use]
    pub fn superlink_tls_name(&self) -> String {
        format!("superlink.{}.zonemesh.internal", self.0)
    }
}

macro_rules! label {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_label(text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

label!(ZoneName);
label!(FederationName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dns_label_is_a_zone_name() {
        for text in ["a", "berlin", "eu-west-1", "7", &"x".repeat(63)] {
            assert_eq!(ZoneName::from_str(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        assert_eq!(ZoneName::from_str(""), Err(NameError::Length(0)));
        assert_eq!(ZoneName::from_str(&"x".repeat(64)), Err(NameError::Length(64)));
        assert_eq!(ZoneName::from_str("Berlin"), Err(NameError::Character('B')));
        assert_eq!(ZoneName::from_str("a.b"), Err(NameError::Character('.')));
        assert_eq!(ZoneName::from_str("../etc"), Err(NameError::Character('.')));
        assert_eq!(ZoneName::from_str("-a"), Err(NameError::Hyphen));
    }

    #[test]
    fn the_superlink_has_a_mesh_dns_name() {
        let federation = FederationName::from_str("health-eu").unwrap();
        assert_eq!(federation.superlink_tls_name(), "superlink.health-eu.zonemesh.internal");
    }
}
