//! The backup as one JSON document: each file with its path, content in base64 and SHA-256.

use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::quantity::hex;

/// A state folder has some kilobytes for each zone; more than this was named by mistake.
pub(super) const MAX_BYTES: u64 = 256 << 20;
const SCHEMA: &str = "zonemesh/state-backup/v1";

/// One file of the state folder.
pub(super) struct Saved {
    /// Below the state folder.
    pub(super) path: PathBuf,
    pub(super) content: Zeroizing<Vec<u8>>,
}

/// What a backup holds.
pub(super) struct Document {
    pub(super) zone_key: String,
    pub(super) files: Vec<Saved>,
}

/// Why a text is no backup.
#[derive(Debug, thiserror::Error)]
pub(super) enum DocumentError {
    #[error("it is no backup of a state folder, or it is cut off")]
    Json(#[source] serde_json::Error),
    #[error("it has the form {0:?}, this program reads {SCHEMA:?}")]
    Schema(String),
    #[error("{0:?} leads out of the state folder")]
    Path(String),
    #[error("the content of {0:?} is damaged")]
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
struct BackupForm {
    schema: String,
    zone_key: String,
    files: Vec<BackupEntry>,
}

#[derive(Serialize, Deserialize)]
struct BackupEntry {
    path: String,
    sha256: String,
    content: String,
}

impl Drop for BackupEntry {
    fn drop(&mut self) {
        self.content.zeroize();
    }
}

impl Document {
    pub(super) fn new(zone_key: String, files: Vec<Saved>) -> Self {
        Self { zone_key, files }
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> u64 {
        self.files.iter().map(|saved| saved.content.len() as u64).sum()
    }

    pub(super) fn to_json(&self) -> Result<Zeroizing<String>, CommandFailure> {
        let entry = |saved: &Saved| BackupEntry {
            path: saved.path.to_string_lossy().into_owned(),
            sha256: hex(&Sha256::digest(&*saved.content)),
            content: STANDARD.encode(&*saved.content),
        };
        let form = BackupForm {
            schema: SCHEMA.to_owned(),
            zone_key: self.zone_key.clone(),
            files: self.files.iter().map(entry).collect(),
        };
        let json = serde_json::to_string(&form);
        Ok(Zeroizing::new(json.or_exit(Exit::Negative, || "cannot write JSON".to_owned())?))
    }

    /// Reads it back and checks every file.
    pub(super) fn from_json(text: &str) -> Result<Self, DocumentError> {
        let form: BackupForm = serde_json::from_str(text).map_err(DocumentError::Json)?;
        if form.schema != SCHEMA {
            return Err(DocumentError::Schema(form.schema));
        }
        let files = form.files.iter().map(saved).collect::<Result<_, _>>()?;
        Ok(Self { zone_key: form.zone_key, files })
    }
}

fn saved(entry: &BackupEntry) -> Result<Saved, DocumentError> {
    let path = PathBuf::from(&entry.path);
    if !is_below(&path) {
        return Err(DocumentError::Path(entry.path.clone()));
    }
    let content = STANDARD.decode(&entry.content).map(Zeroizing::new);
    let content = content.ok().filter(|bytes| hex(&Sha256::digest(&**bytes)) == entry.sha256);
    let content = content.ok_or_else(|| DocumentError::Damaged(entry.path.clone()))?;
    Ok(Saved { path, content })
}

fn is_below(path: &Path) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    path.components().all(plain) && path.components().next().is_some()
}
