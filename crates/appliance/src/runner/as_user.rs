//! A program as another user: user, main group and supplementary groups.
//!
//! Those groups open devices and data (`render`, `video`), and the standard library drops them. It
//! promises that the program has exactly those of its user. It refuses to choose the user.

use std::ffi::{CString, OsStr, OsString};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, getgrouplist, setgid, setgroups, setuid};

use crate::files::FileOwner;

/// A command that runs `program` as `owner`, or as this process's own user.
///
/// # Errors
/// This program's own file cannot be found.
pub(crate) fn command(program: &OsStr, owner: Option<FileOwner>) -> Result<Command> {
    let Some(FileOwner { uid, gid }) = owner else { return Ok(Command::new(program)) };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["as-user", "--owner", &format!("{uid}:{gid}"), "--"]).arg(program);
    Ok(command)
}

/// Becomes `owner` and then the program; returns only if that fails.
#[must_use]
pub fn run(owner: FileOwner, command: &[OsString]) -> Error {
    let Some((program, arguments)) = command.split_first() else {
        return Error::new(ErrorKind::InvalidInput, "expected a program after --");
    };
    match become_user(owner) {
        Ok(()) => Command::new(program).args(arguments).exec(),
        Err(error) => error,
    }
}

fn become_user(owner: FileOwner) -> Result<()> {
    let (user, group) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    // Nobody else may choose; whoever is that user already has its groups.
    if Uid::effective().is_root() {
        setgroups(&groups(user, group)?)?;
    }
    setgid(group)?;
    Ok(setuid(user)?)
}

fn groups(user: Uid, group: Gid) -> Result<Vec<Gid>> {
    let Some(known) = User::from_uid(user)? else { return Ok(vec![group]) };
    Ok(getgrouplist(&CString::new(known.name)?, group)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `id -G` lists them for this user, by the same database.
    #[test]
    fn the_groups_are_those_of_the_user_database() {
        let user = User::from_uid(Uid::current()).unwrap().unwrap();
        let listed = Command::new("id").args(["-G", &user.name]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let mut listed: Vec<u32> =
            listed.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let found = groups(user.uid, user.gid).unwrap();
        let mut found: Vec<u32> = found.into_iter().map(Gid::as_raw).collect();
        listed.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, listed);
        let nobody_has_it = Uid::from_raw(4_000_000_000);
        assert_eq!(groups(nobody_has_it, Gid::from_raw(7)).unwrap(), [Gid::from_raw(7)]);
    }
}
