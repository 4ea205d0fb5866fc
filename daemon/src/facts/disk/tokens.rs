//! The tokens of VMs that came with this zone's invitation or founding bundle: the file `tokens`.
//!
//! It holds hashes, which are no secret, and what each token is good for.

use std::io;
use std::path::{Path, PathBuf};

use zonemesh_core::token::KeptTokens;

use super::{Write, usable};

/// The file of kept tokens.
pub(crate) struct TokensFile(PathBuf);

impl TokensFile {
    pub(crate) fn new(state_folder: &Path) -> Self {
        Self(state_folder.join("tokens"))
    }

    /// The tokens; a file that cannot be used is set aside, and its tokens count no more.
    pub(crate) fn read(&self) -> io::Result<KeptTokens> {
        Ok(usable(&self.0, KeptTokens::from_file_bytes)?.unwrap_or_default())
    }

    /// The list with exactly these.
    pub(crate) fn write(&self, kept: &KeptTokens) -> Write {
        Write::replace(self.0.clone(), kept.to_file_bytes())
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_core::token::{KnownToken, TokenHash, VmRole};

    use super::*;
    use crate::facts::disk::{FileSystem, write_all};

    #[test]
    fn kept_tokens_outlive_a_restart_and_a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokensFile::new(folder.path());
        assert_eq!(file.read().unwrap(), KeptTokens::default());
        let token = KnownToken {
            hash: TokenHash::from_bytes([7; 32]),
            role: VmRole::SuperNode,
            federation: None,
            expires_at: None,
        };
        let kept = KeptTokens { tokens: vec![token], inviter: Some("berlin".parse().unwrap()) };
        write_all(&mut FileSystem, &[file.write(&kept)]).unwrap();
        assert_eq!(file.read().unwrap(), kept);
        std::fs::write(folder.path().join("tokens"), "damaged").unwrap();
        assert_eq!(file.read().unwrap(), KeptTokens::default());
        assert!(folder.path().join("tokens.bad1").exists());
    }
}
