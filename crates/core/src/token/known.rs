//! A token as gateways know it: its hash, and what it is good for.
//!
//! Promises: a role that this build does not know makes no token, so that a later release narrows what
//! a token is good for by a role of its own; all else that is not known is passed over. Nothing here is
//! secret. Specification: the `prost` tags below; field numbers are for ever.

use std::fmt;
use std::str::FromStr;

use prost::Message as _;

use super::{TokenHash, TokenHashError, VmRole};
use crate::name::{FederationName, NameError, ZoneName};
use crate::record::wire::decode;
use crate::record::{DecodeError, Problem};
use crate::time::UnixMillis;

/// Most tokens that a zone is given with its invitation: 6 KiB of base64 with the longest names.
pub const MAX_KNOWN: usize = 64;
/// Start of the kept form.
const MAGIC: &[u8] = b"zonemesh-tokens-1\n";

/// A token of a zone's VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownToken {
    /// By which it is known.
    pub hash: TokenHash,
    /// What the VM that has it runs.
    pub role: VmRole,
    /// The one federation that it is good for; none named: any.
    pub federation: Option<FederationName>,
    /// Refused from then on.
    pub expires_at: Option<UnixMillis>,
}

impl KnownToken {
    /// What it is called where it has no name: its role, and its federation.
    #[must_use]
    pub fn name(&self) -> String {
        let federation = self.federation.iter().map(|name| format!("-{name}"));
        std::iter::once(self.role.as_str().to_owned()).chain(federation).collect()
    }
}

/// Why a text is no token with what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KnownTokenError {
    /// Another form.
    #[error(
        "write ROLE=SHA256, ROLE:FEDERATION=SHA256 or ROLE:FEDERATION@END=SHA256, with superlink or supernode"
    )]
    Form,
    /// Not a federation's name.
    #[error("not a federation's name")]
    Federation(#[from] NameError),
    /// Not a time.
    #[error("{0:?} is no time such as 2027-01-01T00:00:00Z")]
    End(String),
    /// Not a hash.
    #[error(transparent)]
    Hash(#[from] TokenHashError),
}

/// `superlink:health-eu@2027-01-01T00:00:00Z=zmt1:…`: federation and end may be missing.
impl fmt::Display for KnownToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.as_str())?;
        self.federation.iter().try_for_each(|name| write!(f, ":{name}"))?;
        self.expires_at.iter().try_for_each(|end| write!(f, "@{}", end.to_calendar()))?;
        write!(f, "={}", self.hash)
    }
}

impl FromStr for KnownToken {
    type Err = KnownTokenError;

    fn from_str(text: &str) -> Result<Self, KnownTokenError> {
        let (good_for, hash) = text.split_once('=').ok_or(KnownTokenError::Form)?;
        let (good_for, end) = match good_for.split_once('@') {
            Some((good_for, end)) => (good_for, Some(end)),
            None => (good_for, None),
        };
        let (role, federation) = match good_for.split_once(':') {
            Some((role, federation)) => (role, Some(federation)),
            None => (good_for, None),
        };
        let role = [VmRole::SuperLink, VmRole::SuperNode].into_iter().find(|r| r.as_str() == role);
        let time = |end: &str| {
            let time = UnixMillis::from_calendar(end);
            time.ok_or_else(|| KnownTokenError::End(end.to_owned()))
        };
        Ok(Self {
            hash: hash.parse()?,
            role: role.ok_or(KnownTokenError::Form)?,
            federation: federation.map(str::parse).transpose()?,
            expires_at: end.map(time).transpose()?,
        })
    }
}

/// The tokens that came to a zone with its invitation, or with its founding bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptTokens {
    /// The tokens.
    pub tokens: Vec<KnownToken>,
    /// The zone that has invited this one; `None`: they are its own founding bundle's.
    pub inviter: Option<ZoneName>,
}

/// Why bytes are no kept tokens.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KeptTokensError {
    /// Something else.
    #[error("this is no list of tokens")]
    Magic,
    /// A field is not valid.
    #[error("list of tokens, {field}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        #[source]
        problem: Problem,
    },
}

impl From<DecodeError> for KeptTokensError {
    fn from(DecodeError { field, problem }: DecodeError) -> Self {
        Self::Field { field, problem }
    }
}

impl KeptTokens {
    /// The form in which they are kept on disk.
    #[must_use]
    pub fn to_file_bytes(&self) -> Vec<u8> {
        let inviter = self.inviter.as_ref().map(ToString::to_string).unwrap_or_default();
        let wire = WireKeptTokens { tokens: to_wire(&self.tokens), inviter };
        [MAGIC, &wire.encode_to_vec()].concat()
    }

    /// Reads that form.
    ///
    /// # Errors
    /// [`KeptTokensError`] if the bytes are something else, cut off or damaged.
    pub fn from_file_bytes(bytes: &[u8]) -> Result<Self, KeptTokensError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(KeptTokensError::Magic)?;
        let bad = |source| decode::bad("payload", Problem::Protobuf(source));
        let wire = WireKeptTokens::decode(rest).map_err(bad)?;
        let inviter = Some(wire.inviter).filter(|inviter| !inviter.is_empty());
        Ok(Self {
            tokens: from_wire(wire.tokens)?,
            inviter: inviter.map(|name| decode::name("inviter", &name)).transpose()?,
        })
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireKeptTokens {
    #[prost(message, repeated, tag = "1")]
    tokens: Vec<WireKnownToken>,
    #[prost(string, tag = "2")]
    inviter: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WireKnownToken {
    #[prost(bytes = "vec", tag = "1")]
    sha256: Vec<u8>,
    /// 1 superlink, 2 supernode.
    #[prost(int32, tag = "2")]
    role: i32,
    #[prost(string, tag = "3")]
    federation: String,
    /// 0: never.
    #[prost(uint64, tag = "4")]
    expires_at_unix_ms: u64,
}

pub(crate) fn to_wire(tokens: &[KnownToken]) -> Vec<WireKnownToken> {
    let wire = |token: &KnownToken| WireKnownToken {
        sha256: token.hash.as_bytes().to_vec(),
        role: match token.role {
            VmRole::SuperLink => 1,
            VmRole::SuperNode => 2,
        },
        federation: token.federation.as_ref().map(ToString::to_string).unwrap_or_default(),
        expires_at_unix_ms: token.expires_at.map_or(0, |end| end.0),
    };
    tokens.iter().map(wire).collect()
}

pub(crate) fn from_wire(wire: Vec<WireKnownToken>) -> Result<Vec<KnownToken>, DecodeError> {
    let tokens = decode::at_most(MAX_KNOWN, "tokens", wire, known)?;
    Ok(tokens.into_iter().flatten().collect())
}

fn known(wire: WireKnownToken) -> Result<Option<KnownToken>, DecodeError> {
    let role = match wire.role {
        1 => VmRole::SuperLink,
        2 => VmRole::SuperNode,
        _ => return Ok(None),
    };
    let length = wire.sha256.len();
    let hash = <[u8; 32]>::try_from(wire.sha256).ok();
    let hash = hash.ok_or_else(|| decode::bad("sha256", Problem::HashLength(length)))?;
    let federation = Some(wire.federation).filter(|name| !name.is_empty());
    Ok(Some(KnownToken {
        hash: TokenHash::from_bytes(hash),
        role,
        federation: federation.map(|name| decode::name("federation", &name)).transpose()?,
        expires_at: Some(UnixMillis(wire.expires_at_unix_ms)).filter(|end| end.0 != 0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(role: i32) -> WireKnownToken {
        WireKnownToken {
            sha256: vec![7; 32],
            role,
            federation: "health-eu".to_owned(),
            expires_at_unix_ms: 0,
        }
    }

    #[test]
    fn kept_tokens_come_back_and_those_of_a_later_role_are_left_out() {
        let tokens = from_wire(vec![wire(1), wire(3), wire(2)]).unwrap();
        let names: Vec<_> = tokens.iter().map(KnownToken::name).collect();
        assert_eq!(names, ["superlink-health-eu", "supernode-health-eu"]);
        for inviter in [None, Some("berlin".parse().unwrap())] {
            let kept = KeptTokens { tokens: tokens.clone(), inviter };
            let mut bytes = kept.to_file_bytes();
            assert_eq!(KeptTokens::from_file_bytes(&bytes), Ok(kept.clone()));
            // A field that a later release has added: number 15, a varint.
            bytes.extend([15 << 3, 1]);
            assert_eq!(KeptTokens::from_file_bytes(&bytes), Ok(kept));
        }
    }

    #[test]
    fn a_token_is_written_with_its_role_its_federation_and_its_end() {
        let hash = TokenHash::from_bytes([7; 32]);
        for good_for in [
            "superlink",
            "supernode:health-eu",
            "supernode:a@2028-02-29T23:59:59Z",
            "superlink@1970-01-01T00:00:00Z",
        ] {
            let text = format!("{good_for}={hash}");
            let token: KnownToken = text.parse().unwrap();
            assert_eq!((token.to_string(), token.hash), (text, hash));
        }
        let error = |text: String| text.parse::<KnownToken>().unwrap_err();
        assert_eq!(error("superlink".to_owned()), KnownTokenError::Form);
        assert_eq!(error(format!("cook={hash}")), KnownTokenError::Form);
        for end in ["2027-02-29T00:00:00Z", "2027-01-01", "tomorrow", "2027-01-01T24:00:00Z", ""] {
            assert_eq!(
                error(format!("superlink@{end}={hash}")),
                KnownTokenError::End(end.to_owned())
            );
        }
        assert!(matches!(error(format!("superlink:X={hash}")), KnownTokenError::Federation(_)));
        assert!(matches!(error("superlink=zmt1:00".to_owned()), KnownTokenError::Hash(_)));
    }

    #[test]
    fn what_is_no_list_of_tokens_is_told_apart_and_a_list_is_bounded() {
        assert_eq!(KeptTokens::from_file_bytes(b"zone"), Err(KeptTokensError::Magic));
        let short = WireKnownToken { sha256: vec![7; 31], ..wire(1) };
        let error = from_wire(vec![wire(1), short]).unwrap_err();
        assert_eq!(
            (error.field.as_str(), error.problem),
            ("tokens[1].sha256", Problem::HashLength(31))
        );
        assert!(from_wire(vec![wire(1); MAX_KNOWN]).is_ok());
        let error = from_wire(vec![wire(1); MAX_KNOWN + 1]).unwrap_err();
        assert_eq!(error.problem, Problem::TooMany { found: MAX_KNOWN + 1, most: MAX_KNOWN });
    }
}
