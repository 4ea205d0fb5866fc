//! The zone that a VM may talk to, as its token names it.
//!
//! Two forms: `key:<zone key>` in a mesh that is written by hand, and
//! `mesh:<mesh id>:<zone>:<authority set>` in a managed one, all in base64url but the name. A zone
//! key has 32 bytes, so it is its own fingerprint. Promises one text for one pin.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::hash::digits32;
use crate::key::{KeyError, ZonePublicKey};
use crate::membership::SetHash;
use crate::mesh::MeshId;
use crate::name::{NameError, ZoneName};

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZonePinError {
    /// Neither of the two forms.
    #[error("expected key:KEY or mesh:MESH:ZONE:SET")]
    Form,
    /// A part that is not 32 bytes in base64url.
    #[error("{0} is not 32 bytes of base64url")]
    Bytes(&'static str),
    /// A part that is not 32 bytes in hexadecimal digits.
    #[error("{0} has 64 hexadecimal digits")]
    Digits(&'static str),
    /// 32 bytes that are no key.
    #[error("{0}")]
    Key(KeyError),
    /// Not a zone's name.
    #[error("{0}")]
    Zone(NameError),
}

/// The zone that a VM may talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZonePin {
    /// In a mesh that is written by hand: the zone that has this key.
    Key(ZonePublicKey),
    /// In a managed mesh: whatever key it has there.
    Mesh(MeshPin),
}

/// A zone of a managed mesh, whatever key it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshPin {
    /// The mesh.
    pub mesh: MeshId,
    /// The zone.
    pub zone: ZoneName,
    /// The authority set that was followed when the token was made: a chain without it is refused.
    pub head: SetHash,
}

impl MeshPin {
    /// A zone of the mesh with this id, as people write both: before there is any gateway. Without a
    /// set it is the mesh's first one, whose hash is the mesh id.
    ///
    /// # Errors
    /// [`ZonePinError::Digits`] if id or set is not 64 hexadecimal digits.
    pub fn written(mesh: &str, zone: ZoneName, set: Option<&str>) -> Result<Self, ZonePinError> {
        let id = digits32(mesh).ok_or(ZonePinError::Digits("a mesh id"))?;
        let head = match set {
            Some(set) => digits32(set).ok_or(ZonePinError::Digits("an authority set"))?,
            None => id,
        };
        let mesh = MeshId::new(id.map(|byte| format!("{byte:02x}")).concat());
        Ok(Self { mesh, zone, head })
    }
}

impl fmt::Display for ZonePin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8; 32]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Key(key) => write!(f, "key:{}", text(key.as_bytes())),
            Self::Mesh(MeshPin { mesh, zone, head }) => {
                let mesh = digits32(mesh.as_str()).ok_or(fmt::Error)?;
                write!(f, "mesh:{}:{zone}:{}", text(&mesh), text(head))
            }
        }
    }
}

impl FromStr for ZonePin {
    type Err = ZonePinError;

    fn from_str(text: &str) -> Result<Self, ZonePinError> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            ["key", key] => {
                let key = bytes("the key", key)?;
                ZonePublicKey::from_bytes(key).map(Self::Key).map_err(ZonePinError::Key)
            }
            ["mesh", mesh, zone, head] => {
                let mesh = bytes("the mesh", mesh)?;
                let mesh = MeshId::new(mesh.map(|byte| format!("{byte:02x}")).concat());
                let zone = zone.parse().map_err(ZonePinError::Zone)?;
                let head = bytes("the authority set", head)?;
                Ok(Self::Mesh(MeshPin { mesh, zone, head }))
            }
            _ => Err(ZonePinError::Form),
        }
    }
}

fn bytes(what: &'static str, text: &str) -> Result<[u8; 32], ZonePinError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or(ZonePinError::Bytes(what))
}
