//! The owner keys of a new mesh: made here, written into files of their own, sent nowhere.
//!
//! Promises: they are on disk before the mesh is founded, so that there is no mesh without its owners;
//! the files of a founding that is refused are taken away again.

use std::path::{Path, PathBuf};

use zonemesh_core::membership::AuthorityIdentity;

use crate::arguments::Init;
use crate::failure::{CommandFailure, Exit, OrFail as _};
use crate::secret_file::Reserved;

/// Owner keys in their files.
pub(super) struct MadeOwners(Vec<MadeOwner>);

struct MadeOwner {
    identity: AuthorityIdentity,
    path: PathBuf,
}

/// Makes as many owner keys as are asked for.
pub(super) fn made(init: &Init) -> Result<MadeOwners, CommandFailure> {
    let count = init.owners.unwrap_or(u8::from(init.owner_keys.is_empty()));
    if count == 0 && init.owner_keys.is_empty() {
        let message = "a mesh without an owner could never change who signs".to_owned();
        return Err(CommandFailure::message(Exit::Usage, message).next("zonemesh mesh init"));
    }
    let one = |number: u8| {
        let path = match count {
            1 => init.owner_key.clone(),
            _ => numbered(&init.owner_key, number),
        };
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut())
            .or_exit(Exit::Configuration, || "no randomness from the kernel".to_owned())?;
        let identity = AuthorityIdentity::from_seed(&seed);
        Reserved::new(&path)?.write(&identity.to_base64())?;
        Ok(MadeOwner { identity, path })
    };
    let mut made = MadeOwners(Vec::new());
    for number in 1..=count {
        match one(number) {
            Ok(owner) => made.0.push(owner),
            Err(failure) => {
                made.remove();
                return Err(failure);
            }
        }
    }
    Ok(made)
}

fn numbered(path: &Path, number: u8) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let suffix = path.extension().map(|suffix| format!(".{}", suffix.to_string_lossy()));
    path.with_file_name(format!("{stem}-{number}{}", suffix.unwrap_or_default()))
}

impl MadeOwners {
    pub(super) fn public_keys(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|made| made.identity.public_key().to_string())
    }

    /// Their files.
    pub(super) fn files(&self) -> Vec<String> {
        self.0.iter().map(|made| made.path.display().to_string()).collect()
    }

    /// Takes the files away: these keys own nothing.
    pub(super) fn remove(&self) {
        for made in &self.0 {
            // What cannot be removed is a key of no mesh.
            let _removed_or_not = std::fs::remove_file(&made.path);
        }
    }
}
