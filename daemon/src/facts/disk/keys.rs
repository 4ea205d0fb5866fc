//! The gateway's own keys: read from their files, made on first start, never printed.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;
use zonemesh_core::key::{PresharedKey, WireGuardPrivateKey, ZoneIdentity};
use zonemesh_core::membership::AuthorityIdentity;

use super::{Write, create, regular};
use crate::failure::{Exit, Failure, OrExit as _};

/// The WireGuard private key in `file`; a new one on first start.
pub(crate) fn wireguard(file: &Path) -> Result<WireGuardPrivateKey, Failure> {
    let text = read_or_create(file, || Ok(WireGuardPrivateKey::from_bytes(random()?).to_base64()))?;
    WireGuardPrivateKey::from_base64(&text).or_exit(Exit::Configuration, || bad_key(file))
}

/// Where the key lies that the one in `file` is being changed for.
pub(crate) fn next_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".next");
    PathBuf::from(name)
}

/// The WireGuard key that the one in `file` is being changed for, if it is.
pub(crate) fn next_wireguard(file: &Path) -> Result<Option<WireGuardPrivateKey>, Failure> {
    let next = next_file(file);
    next.exists().then(|| wireguard(&next)).transpose()
}

/// Puts the next key in the place of the one in `file`.
pub(crate) fn promote_next(file: &Path) -> Write {
    Write::Rename(next_file(file), file.to_owned())
}

/// A new WireGuard key, and how it is kept in `file`, where there must be none.
pub(crate) fn new_wireguard(
    file: PathBuf,
) -> Result<(WireGuardPrivateKey, Write), getrandom::Error> {
    let key = WireGuardPrivateKey::from_bytes(random()?);
    let write = Write::Create(file, line(&key.to_base64()));
    Ok((key, write))
}

/// A new authority key, and how it is kept in `file`, where there must be none.
pub(crate) fn new_authority(file: PathBuf) -> Result<(AuthorityIdentity, Write), getrandom::Error> {
    let seed = Zeroizing::new(random()?);
    let key = AuthorityIdentity::from_seed(&seed);
    let write = Write::Create(file, line(&key.to_base64()));
    Ok((key, write))
}

/// How an authority key that was made elsewhere is kept in `file`.
pub(crate) fn keep_authority(file: PathBuf, key: &Zeroizing<String>) -> Write {
    Write::Replace(file, line(key))
}

/// The zone identity in `file`; a new one on first start.
pub(crate) fn zone_identity(file: &Path) -> Result<ZoneIdentity, Failure> {
    let text = read_or_create(file, || {
        let seed = Zeroizing::new(random()?);
        Ok(ZoneIdentity::from_seed(&seed).to_base64())
    })?;
    ZoneIdentity::from_base64(&text).or_exit(Exit::Configuration, || bad_key(file))
}

/// The authority key in `file`, which must exist.
pub(crate) fn authority(file: &Path) -> Result<AuthorityIdentity, Failure> {
    let text = read_existing(file)?;
    AuthorityIdentity::from_base64(&text).or_exit(Exit::Configuration, || bad_key(file))
}

/// The preshared key in `file`, which must exist.
pub(crate) fn preshared(file: &Path) -> Result<PresharedKey, Failure> {
    let text = read(file).or_exit(Exit::Configuration, || {
        format!(
            "cannot read the preshared key file {}, one line as `wg genpsk` writes it",
            file.display()
        )
    })?;
    PresharedKey::from_base64(&text)
        .or_exit(Exit::Configuration, || format!("{} holds no key", file.display()))
}

fn bad_key(file: &Path) -> String {
    format!(
        "{} holds no key; put the right one back, or move the file away to have a new key made (every peer must then learn the new public key)",
        file.display()
    )
}

fn random() -> Result<[u8; 32], getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn read(file: &Path) -> std::io::Result<Zeroizing<String>> {
    regular::read_text(file)
}

fn read_or_create(
    file: &Path,
    make: impl FnOnce() -> Result<Zeroizing<String>, getrandom::Error>,
) -> Result<Zeroizing<String>, Failure> {
    if file.exists() {
        return read_existing(file);
    }
    let text = make().or_exit(Exit::Negative, || "no randomness from the kernel".to_owned())?;
    create(file, &line(&text)).or_exit(Exit::Configuration, || {
        format!("cannot create the key file {}", file.display())
    })?;
    tracing::info!(file = %file.display(), "made a new key");
    Ok(text)
}

fn read_existing(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            let message = unread(file, error.kind());
            return Err(Failure::caused(Exit::Configuration, error, &message));
        }
    };
    warn_if_others_can_read(file);
    Ok(text)
}

/// What to do about a key file that could not be read.
fn unread(file: &Path, kind: ErrorKind) -> String {
    let file = file.display();
    match kind {
        ErrorKind::PermissionDenied => format!(
            "cannot read the key file {file}; it must be readable by the user that runs zonemeshd, under systemd: chown zonemesh: {file}"
        ),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => format!(
            "{file} is no key file, which is a file with one line of 44 characters of base64; put the right one there, or move it away to have a new key made (every peer must then learn the new public key)"
        ),
        _ => format!("cannot read the key file {file}"),
    }
}

/// How a key stands in its file.
fn line(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([text.as_bytes(), b"\n"].concat())
}

/// True if others than its owner can read a key file.
pub(crate) fn is_open_to_others(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
}

fn warn_if_others_can_read(file: &Path) {
    if is_open_to_others(file) {
        tracing::warn!(
            file = %file.display(),
            "others can read this key file; run: chmod 600 {}", file.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn a_key_is_made_once_with_mode_0600() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wireguard.key");
        let first = wireguard(&file).unwrap().public_key();
        assert_eq!(wireguard(&file).unwrap().public_key(), first);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_next_key_lies_beside_the_present_one_until_it_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wireguard.key");
        let first = wireguard(&file).unwrap().public_key();
        assert!(next_wireguard(&file).unwrap().is_none());
        let next = wireguard(&next_file(&file)).unwrap().public_key();
        assert_eq!(next_wireguard(&file).unwrap().map(|key| key.public_key()), Some(next));
        assert_eq!(wireguard(&file).unwrap().public_key(), first);
        write_all(&mut FileSystem, &[promote_next(&file)]).unwrap();
        assert_eq!(wireguard(&file).unwrap().public_key(), next);
        assert!(next_wireguard(&file).unwrap().is_none());
    }

    #[test]
    fn a_new_key_file_is_there_whole_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wireguard.key");
        create(&file, b"first\n").unwrap();
        assert_eq!(
            create(&file, b"second\n").unwrap_err().kind(),
            std::io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary is left");
    }

    #[test]
    fn a_damaged_key_file_is_kept_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zone.key");
        std::fs::write(&file, "not a key").unwrap();
        let failure = zone_identity(&file).err().unwrap();
        assert_eq!(failure.exit, Exit::Configuration);
        assert!(format!("{failure:?}").contains("zone.key holds no key"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "not a key");
    }

    #[test]
    fn what_is_told_of_an_unreadable_key_file_fits_why() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        nix::unistd::mkfifo(&place("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::create_dir(place("folder")).unwrap();
        std::fs::write(place("bytes"), [0xff; 32]).unwrap();
        for name in ["pipe", "folder", "bytes"] {
            let failure = zone_identity(&place(name)).err().unwrap();
            assert_eq!(failure.exit, Exit::Configuration);
            let said = format!("{:#}", failure.into_error());
            assert!(said.contains("is no key file, which is a file with one line of 44"), "{said}");
            assert!(!said.contains("chown"), "{said}");
        }
        let denied = unread(&place("bytes"), ErrorKind::PermissionDenied);
        assert!(denied.contains("chown zonemesh:"), "{denied}");
    }
}
