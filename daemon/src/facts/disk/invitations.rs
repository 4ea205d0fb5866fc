//! Invitations on disk: those that were issued here, and the one that this gateway has used.
//!
//! `invitations/<id>.issued` holds what the issuer keeps of each (mode 0600: the key of its proofs).
//! `inviter` holds the used one without its secret: it only says how the inviter's gateway is
//! reached until that zone's record has arrived.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use zonemesh_core::invitation::{Invitation, InvitationId, InvitationSecret, IssuedInvitation};

use super::{Write, files_of, regular, set_aside, usable};

const SUFFIX: &str = "issued";

/// The invitations of this gateway.
pub(crate) struct InvitationFiles {
    folder: PathBuf,
    inviter: PathBuf,
}

impl InvitationFiles {
    /// Opens (and makes) the folder below the state folder.
    pub(crate) fn open(state_folder: &Path) -> io::Result<Self> {
        let folder = state_folder.join("invitations");
        super::make_folder(&folder)?;
        Ok(Self { folder, inviter: state_folder.join("inviter") })
    }

    /// Everything that was issued here and can be read; what cannot is set aside.
    pub(crate) fn read_all(&self) -> io::Result<Vec<IssuedInvitation>> {
        let mut issued = Vec::new();
        for path in files_of(&self.folder, SUFFIX)? {
            issued.extend(usable(&path, IssuedInvitation::from_file_bytes)?);
        }
        Ok(issued)
    }

    /// An invitation as its issuer keeps it.
    pub(crate) fn write(&self, issued: &IssuedInvitation) -> Write {
        Write::Replace(self.path(&issued.id), issued.to_file_bytes())
    }

    /// Forgets an invitation that expired long ago.
    pub(crate) fn remove(&self, id: &InvitationId) -> Write {
        Write::Remove(self.path(id))
    }

    /// Remembers how the inviter is reached.
    pub(crate) fn write_inviter(&self, invitation: &Invitation) -> Write {
        let secret = InvitationSecret::from_bytes([0; 16]);
        let without = Invitation { secret, ..invitation.clone() };
        Write::replace(self.inviter.clone(), without.to_text().as_bytes())
    }

    /// The invitation that this gateway has used, if it has.
    pub(crate) fn inviter(&self) -> Option<Invitation> {
        let text = match regular::read_text(&self.inviter) {
            Ok(text) => text,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(file = %self.inviter.display(), %error, "cannot read how the inviter is reached");
                }
                return None;
            }
        };
        match Invitation::from_text(&text) {
            Ok(invitation) => Some(invitation),
            Err(error) => {
                set_aside(&self.inviter, &error);
                None
            }
        }
    }

    fn path(&self, id: &InvitationId) -> PathBuf {
        self.folder.join(format!("{id}.{SUFFIX}"))
    }
}
