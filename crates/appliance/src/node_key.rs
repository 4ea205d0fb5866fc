//! The key that Flower knows a SuperNode by: made in its VM, and never out of it.
//!
//! ECDSA on NIST P-256, in the file the private key in OpenSSH's form, which is what every release of
//! Flower loads; the file is its reader's alone. Promises that a key is kept for as long as it can be
//! used, and that one that cannot be is set aside and not thrown away. Refuses to know where it is
//! registered.

use std::fs::{OpenOptions, rename};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use p256::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};
use ssh_key::private::KeypairData;
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::files::{FileError, FileOwner, write_atomic};

/// Largest file that is read as a key.
const MAX_FILE: usize = 16 * 1024;
/// What a key that is set aside is called behind its own name.
const ASIDE: &str = "aside";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NodeKeyError {
    /// The system makes none.
    #[error("cannot make a key")]
    Make(#[source] ssh_key::Error),
    /// It cannot be kept.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What is wrong with a file that should have a key.
#[derive(Debug, thiserror::Error)]
enum BrokenKey {
    #[error("it has {0} bytes, which no key has")]
    Size(usize),
    #[error("it is no private key in OpenSSH's form")]
    Form(#[source] ssh_key::Error),
    #[error("it is locked by a passphrase")]
    Locked,
    #[error("it is a key of another kind than ECDSA on P-256")]
    Kind,
}

/// The key of a VM's SuperNode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeKey {
    /// Where it is.
    pub file: PathBuf,
    /// Its public half (SubjectPublicKeyInfo in DER).
    pub public: Vec<u8>,
    /// Why another one was set aside for it.
    pub instead_of: Option<String>,
}

impl NodeKey {
    /// The one in `file`, or else a new one there, for `owner` alone.
    ///
    /// # Errors
    /// [`NodeKeyError`]: none can be made or kept.
    pub fn kept(file: &Path, owner: Option<FileOwner>) -> Result<Self, NodeKeyError> {
        let problem = match contents(file) {
            Ok(bytes) => match read(&bytes) {
                Ok(public) => {
                    // As at its making, whoever has touched it since.
                    write_atomic(file, &bytes, 0o600, owner)?;
                    return Ok(Self { file: file.to_owned(), public, instead_of: None });
                }
                Err(broken) => zonemesh_core::exit::error_line(&broken),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Self::made(file, owner, None);
            }
            Err(error) => error.to_string(),
        };
        Self::anew(file, owner, problem)
    }

    /// The public half of the one in `file`, if there is one that can be used.
    #[must_use]
    pub fn known(file: &Path) -> Option<Vec<u8>> {
        read(&contents(file).ok()?).ok()
    }

    /// Another one in the place of the one in `file`, which is set aside.
    ///
    /// # Errors
    /// [`NodeKeyError`]: none can be made or kept.
    pub fn anew(
        file: &Path,
        owner: Option<FileOwner>,
        problem: String,
    ) -> Result<Self, NodeKeyError> {
        let aside = file.with_extension(ASIDE);
        rename(file, &aside).map_err(|source| FileError::Io {
            step: "set aside",
            path: file.to_owned(),
            source,
        })?;
        Self::made(file, owner, Some(problem))
    }

    fn made(
        file: &Path,
        owner: Option<FileOwner>,
        instead_of: Option<String>,
    ) -> Result<Self, NodeKeyError> {
        let algorithm = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
        let private = PrivateKey::random(&mut OsRng, algorithm).map_err(NodeKeyError::Make)?;
        let text = private.to_openssh(LineEnding::LF).map_err(NodeKeyError::Make)?;
        let public = public_of(&private).ok_or(NodeKeyError::Make(ssh_key::Error::Crypto))?;
        write_atomic(file, text.as_bytes(), 0o600, owner)?;
        Ok(Self { file: file.to_owned(), public, instead_of })
    }
}

/// What is in the file. Its folder is Flower's: an app may have put a link or a pipe there, which is
/// neither followed nor waited for.
fn contents(file: &Path) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    opened.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The public half of what a file has.
fn read(bytes: &[u8]) -> Result<Vec<u8>, BrokenKey> {
    if bytes.len() > MAX_FILE {
        return Err(BrokenKey::Size(bytes.len()));
    }
    let private = PrivateKey::from_openssh(bytes).map_err(BrokenKey::Form)?;
    match private.key_data() {
        KeypairData::Encrypted(_) => Err(BrokenKey::Locked),
        _ => public_of(&private).ok_or(BrokenKey::Kind),
    }
}

fn public_of(private: &PrivateKey) -> Option<Vec<u8>> {
    let KeyData::Ecdsa(EcdsaPublicKey::NistP256(point)) = private.public_key().key_data() else {
        return None;
    };
    let key = p256::PublicKey::from_sec1_bytes(point.as_bytes()).ok()?;
    Some(key.to_public_key_der().ok()?.into_vec())
}

/// A public key as Flower registers it, in OpenSSH's form; `None` of what is no point of P-256.
#[must_use]
pub fn registered_form(public: &[u8]) -> Option<String> {
    let key = p256::PublicKey::from_public_key_der(public).ok()?;
    // One key has one form: what Flower would know under another is another's.
    if key.to_public_key_der().ok()?.as_bytes() != public {
        return None;
    }
    let point = p256::EncodedPoint::from(key);
    let data = KeyData::Ecdsa(EcdsaPublicKey::NistP256(point));
    PublicKey::from(data).to_openssh().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_for_its_reader_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supernode.key");
        let made = NodeKey::kept(&file, None).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(NodeKey::kept(&file, None).unwrap(), made);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        assert_eq!((made.public.len(), made.instead_of), (91, None));
    }

    #[test]
    fn a_file_that_is_no_key_is_set_aside_and_another_key_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("supernode.key");
        let good = NodeKey::kept(&file, None).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        for broken in ["", "no key", &text[..text.len() / 2]] {
            std::fs::write(&file, broken).unwrap();
            let made = NodeKey::kept(&file, None).unwrap();
            assert!(made.instead_of.is_some(), "{broken:?}");
            assert_ne!(made.public, good.public);
            let aside = std::fs::read_to_string(file.with_extension("aside")).unwrap();
            assert_eq!(aside, broken);
        }
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(NodeKey::kept(&file, None).unwrap().instead_of.is_some(), "a link");
        std::fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(NodeKey::kept(&file, None).unwrap().instead_of.is_some(), "a pipe");
        std::fs::write(&file, "x".repeat(MAX_FILE + 1)).unwrap();
        assert!(NodeKey::kept(&file, None).unwrap().instead_of.unwrap().contains("bytes"));
    }

    #[test]
    fn what_is_registered_is_the_key_and_nothing_that_only_looks_like_one() {
        let folder = tempfile::tempdir().unwrap();
        let key = NodeKey::kept(&folder.path().join("supernode.key"), None).unwrap();
        let line = registered_form(&key.public).unwrap();
        assert!(line.starts_with("ecdsa-sha2-nistp256 AAAA"), "{line}");
        let mut off_the_curve = key.public.clone();
        off_the_curve[90] ^= 1;
        let mut longer = key.public.clone();
        longer.push(0);
        for wrong in [&off_the_curve[..], &longer, &key.public[..90], b"", &[7; 91]] {
            assert_eq!(registered_form(wrong), None);
        }
    }
}
