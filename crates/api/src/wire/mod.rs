//! From wire to core and back: the one place.
//!
//! Promises: what comes out of `TryFrom` is valid; an error names the field as the protobuf file
//! does, and is safe to send back to who wrote it. Refuses to know who may say what.

pub mod admin;
pub mod finding;
pub mod join;
pub mod local;
pub mod mesh;
pub mod onegate;
pub mod registry;
pub mod standing;
mod trust;

use std::net::{AddrParseError, IpAddr};

use zonemesh_core::exit::error_line;
use zonemesh_core::gateway::GatewayIdError;
use zonemesh_core::key::KeyError;
use zonemesh_core::name::NameError;
use zonemesh_core::record::{FlowerTransport, Readiness, SignedRecordError};

/// A field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field}")]
pub struct WireError {
    /// The field, for example `addresses[1]`.
    pub field: String,
    /// What is wrong with it.
    #[source]
    pub problem: WireProblem,
}

/// What can be wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireProblem {
    /// Required and absent.
    #[error("missing")]
    Missing,
    /// A name that is none.
    #[error("not a valid name")]
    Name(#[source] NameError),
    /// A gateway's name that is none.
    #[error("not a gateway's name")]
    Gateway(#[source] GatewayIdError),
    /// An IP address that is none.
    #[error("{0:?} is no IP address")]
    Address(String, #[source] AddrParseError),
    /// Not a port.
    #[error("a port is 1 to 65535, this one is {0}")]
    Port(u32),
    /// A value that this build does not know, of a list where that cannot be passed over.
    #[error("unknown value {0}")]
    UnknownValue(i32),
    /// A hash of wrong length.
    #[error("a hash has 32 bytes, this one has {0}")]
    HashLength(usize),
    /// A signature of wrong length.
    #[error("a signature has 64 bytes, this one has {0}")]
    SignatureLength(usize),
    /// A name of wrong length: an invitation's, or what stands for a key.
    #[error("a name has 16 bytes, this one has {0}")]
    IdLength(usize),
    /// Far more than anyone needs.
    #[error("too many, or too long")]
    TooMany,
    /// A key that is none.
    #[error("not a valid key")]
    Key(#[source] KeyError),
    /// A record that is none.
    #[error("not a signed zone record")]
    Record(#[source] SignedRecordError),
    /// Stands twice where it may stand once.
    #[error("stands twice")]
    Duplicate,
}

impl WireError {
    fn new(field: impl Into<String>, problem: WireProblem) -> Self {
        let field = field.into();
        Self { field, problem }
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        error_line(self)
    }
}

impl From<WireError> for tonic::Status {
    /// `INVALID_ARGUMENT` with the error in one line.
    fn from(error: WireError) -> Self {
        Self::invalid_argument(error.to_line())
    }
}

fn name<T: std::str::FromStr<Err = NameError>>(field: &str, text: &str) -> Result<T, WireError> {
    let invalid = |source| WireError::new(field, WireProblem::Name(source));
    text.parse().map_err(invalid)
}

fn port(field: &str, port: u32) -> Result<u16, WireError> {
    let fits = u16::try_from(port).ok().filter(|port| *port != 0);
    fits.ok_or_else(|| WireError::new(field, WireProblem::Port(port)))
}

fn hash(field: &str, bytes: &[u8]) -> Result<[u8; 32], WireError> {
    let wrong_length = |_: std::array::TryFromSliceError| {
        WireError::new(field, WireProblem::HashLength(bytes.len()))
    };
    bytes.try_into().map_err(wrong_length)
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<IpAddr>, WireError> {
    let address = |(index, text): (usize, &String)| {
        text.parse().map_err(|source| {
            let shortened = text.chars().take(64).collect();
            WireError::new(format!("{field}[{index}]"), WireProblem::Address(shortened, source))
        })
    };
    texts.iter().enumerate().map(address).collect()
}

/// A later release may know more values than this one: they are passed on.
fn readiness(field: &str, value: i32) -> Result<Readiness, WireError> {
    match value {
        0 => Err(WireError::new(field, WireProblem::Missing)),
        value => Ok(Readiness::of(value)),
    }
}

/// As [`readiness`].
fn transport(field: &str, value: i32) -> Result<FlowerTransport, WireError> {
    match value {
        0 => Err(WireError::new(field, WireProblem::Missing)),
        value => Ok(FlowerTransport::of(value)),
    }
}
