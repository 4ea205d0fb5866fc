//! The CA of a federation on disk: the pair `ca.key` and `ca.pem` in `federations/<federation>`.
//!
//! Promises: a new pair is there whole or not at all; half a pair is made whole again where that
//! takes nothing from anybody: a certificate from its key, a new pair in place of a certificate that
//! nobody was given. A CA that others trust is never replaced.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use zeroize::Zeroizing;
use zonemesh_core::name::FederationName;
use zonemesh_pki::FederationCa;

use super::leftovers::temporary_folder;
use super::{create, folder_of, regular, rename, replace, set_aside, sync_folder_of};

const KEY: &str = "ca.key";
const CERTIFICATE: &str = "ca.pem";
/// What a CA is kept in.
pub(super) const PAIR: [&str; 2] = [KEY, CERTIFICATE];

/// The files of one federation.
pub(crate) struct CaFiles {
    federation: FederationName,
    folder: PathBuf,
}

impl CaFiles {
    pub(crate) fn new(state_folder: &Path, federation: &FederationName) -> Self {
        let folder = state_folder.join("federations").join(federation.as_str());
        Self { federation: federation.clone(), folder }
    }

    /// The certificate that was issued last, for `zonemesh cert show`.
    pub(crate) fn issued(&self) -> PathBuf {
        self.folder.join("superlink.pem")
    }

    /// Reads the CA, makes half a one whole, or makes a new one. `announced` are the certificates
    /// that this zone has announced for the federation.
    pub(crate) fn open(&self, announced: &[String]) -> anyhow::Result<FederationCa> {
        match (read(&self.key())?, read(&self.certificate())?) {
            (Some(key), Some(certificate)) => FederationCa::from_pem(&certificate, &key)
                .with_context(|| format!("the files in {} hold no CA", self.folder.display())),
            (Some(key), None) => self.complete(&key, announced),
            (None, Some(_)) if !announced.is_empty() || self.issued().exists() => {
                anyhow::bail!("{} is missing, and its CA is in use", self.key().display())
            }
            (None, Some(_)) => {
                set_aside(&self.certificate(), &"its key is missing, and nobody was given it");
                self.make()
            }
            (None, None) => self.make(),
        }
    }

    fn make(&self) -> anyhow::Result<FederationCa> {
        let ca = FederationCa::generate(self.federation.as_str(), SystemTime::now())?;
        self.write_pair(&ca).with_context(|| self.folder.display().to_string())?;
        tracing::info!(federation = %self.federation, "made a new federation CA");
        Ok(ca)
    }

    /// A key without its certificate: what was announced is right again, else it is made anew.
    fn complete(&self, key: &str, announced: &[String]) -> anyhow::Result<FederationCa> {
        let known = announced.iter().find_map(|pem| FederationCa::from_pem(pem, key).ok());
        let source = if known.is_some() { "this zone's record" } else { "its key, made anew" };
        let ca = match known {
            Some(ca) => ca,
            None => FederationCa::from_key(self.federation.as_str(), key, SystemTime::now())
                .with_context(|| self.key().display().to_string())?,
        };
        let file = self.certificate();
        replace(&file, ca.certificate_pem().as_bytes())
            .with_context(|| file.display().to_string())?;
        tracing::warn!(
            federation = %self.federation, file = %file.display(), source,
            "the certificate of a federation's CA was missing and is there again"
        );
        Ok(ca)
    }

    /// Both files beside, then both in their place in one step. A folder that holds other things
    /// already cannot be replaced: there the key goes first, as a certificate follows from it.
    fn write_pair(&self, ca: &FederationCa) -> io::Result<()> {
        let all = folder_of(&self.folder);
        super::make_folder(all)?;
        sync_folder_of(all)?;
        let new = temporary_folder(all)?;
        let (key, certificate) = (new.path().join(KEY), new.path().join(CERTIFICATE));
        create(&key, ca.key_pem().as_bytes())?;
        create(&certificate, ca.certificate_pem().as_bytes())?;
        match std::fs::rename(new.path(), &self.folder) {
            Ok(()) => {
                // It has its own name now: nothing is left to be removed.
                let _ = new.keep();
                sync_folder_of(&self.folder)
            }
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                rename(&key, &self.key())?;
                rename(&certificate, &self.certificate())
            }
            Err(error) => Err(error),
        }
    }

    fn key(&self) -> PathBuf {
        self.folder.join(KEY)
    }

    fn certificate(&self) -> PathBuf {
        self.folder.join(CERTIFICATE)
    }
}

fn read(file: &Path) -> anyhow::Result<Option<Zeroizing<String>>> {
    match regular::read_text(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &tempfile::TempDir) -> CaFiles {
        CaFiles::new(folder.path(), &"health-eu".parse().unwrap())
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_new_pair_takes_its_place_in_one_step_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        // An earlier start got as far as the folder.
        std::fs::create_dir_all(&files.folder).unwrap();
        let before = std::fs::metadata(&files.folder).unwrap();
        let ca = files.open(&[]).unwrap();
        let after = std::fs::metadata(&files.folder).unwrap();
        let inode = std::os::unix::fs::MetadataExt::ino;
        assert_ne!(inode(&before), inode(&after), "the folder came with both files in it");
        assert_eq!(text(&files.key()), *ca.key_pem());
        assert_eq!(text(&files.certificate()), ca.certificate_pem());
        let all = std::fs::read_dir(folder.path().join("federations")).unwrap();
        assert_eq!(all.count(), 1);
    }

    #[test]
    fn what_lies_beside_the_pair_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        std::fs::create_dir_all(&files.folder).unwrap();
        std::fs::write(files.issued(), "issued").unwrap();
        let ca = files.open(&[]).unwrap();
        assert_eq!(files.open(&[]).unwrap().certificate_pem(), ca.certificate_pem());
        assert_eq!(text(&files.issued()), "issued");
    }

    #[test]
    fn a_key_whose_certificate_a_kill_kept_away_is_made_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let key = files.open(&[]).unwrap().key_pem();
        std::fs::remove_file(files.certificate()).unwrap();
        let ca = files.open(&[]).unwrap();
        assert_eq!((ca.key_pem(), text(&files.key())), (key.clone(), key.to_string()));
        assert_eq!(text(&files.certificate()), ca.certificate_pem());
    }

    #[test]
    fn a_lost_certificate_that_was_announced_is_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let announced = files.open(&[]).unwrap().certificate_pem().to_owned();
        std::fs::remove_file(files.certificate()).unwrap();
        let other = FederationCa::generate("health-eu", SystemTime::now()).unwrap();
        let ca = files.open(&[other.certificate_pem().to_owned(), announced.clone()]).unwrap();
        assert_eq!(
            (ca.certificate_pem(), text(&files.certificate())),
            (&*announced, announced.clone())
        );
    }

    #[test]
    fn a_certificate_without_a_key_that_nobody_was_given_makes_room_for_a_new_pair() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let lost = files.open(&[]).unwrap().certificate_pem().to_owned();
        std::fs::remove_file(files.key()).unwrap();
        let ca = files.open(&[]).unwrap();
        assert_ne!(ca.certificate_pem(), lost);
        assert_eq!(text(&files.folder.join("ca.pem.bad1")), lost);
        assert_eq!(text(&files.certificate()), ca.certificate_pem());
    }

    #[test]
    fn a_certificate_that_others_trust_is_not_replaced_when_its_key_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(&folder);
        let announced = files.open(&[]).unwrap().certificate_pem().to_owned();
        std::fs::remove_file(files.key()).unwrap();
        let error = files.open(std::slice::from_ref(&announced)).err().unwrap();
        assert!(error.to_string().ends_with("ca.key is missing, and its CA is in use"), "{error}");
        std::fs::write(files.issued(), "issued").unwrap();
        assert!(files.open(&[]).is_err());
        assert!(!files.key().exists() && text(&files.certificate()) == announced);
    }
}
