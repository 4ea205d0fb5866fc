//! What this user may not do, through the real binary: the exit code, and the next command.
//!
//! Root passes every mode, so that the binary runs as nobody where the tests run as root.

use std::fs::{Permissions, copy, set_permissions, write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::daemon::{Daemon, Paris};
use crate::stderr;

const NOBODY: u32 = 65534;

/// A folder that all may enter, with the binary in it.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("it is ours");
    copy(env!("CARGO_BIN_EXE_zonemesh"), folder.path().join("zonemesh")).expect("it can be copied");
    folder
}

/// What the binary says to a user without rights.
fn as_nobody(folder: &Path, socket: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(folder.join("zonemesh"));
    command.env_clear().env("ZONEMESH_SOCKET", socket).args(args);
    if std::fs::metadata("/proc/self").expect("/proc is there").uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.output().expect("the binary starts")
}

/// A file that its owner alone may read, who is not the one that reads it.
fn closed_file(folder: &Path, name: &str) -> String {
    let file = folder.join(name);
    write(&file, "secret").expect("the folder is ours");
    set_permissions(&file, Permissions::from_mode(0o000)).expect("it is ours");
    file.to_str().expect("the path is text").to_owned()
}

#[test]
fn a_file_that_this_user_may_not_read_is_6_and_the_same_with_sudo() {
    let folder = open_folder();
    let [config, key, invitation, items, certificate] =
        ["zm.toml", "zone.key", "invitation", "items", "ca.pem"]
            .map(|name| closed_file(folder.path(), name));
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let out = closed.join("new.key").to_str().unwrap().to_owned();
    for args in [
        &["config", "check", &config][..],
        &["key", "public", &key],
        &["zone", "join", &invitation],
        &["mesh", "found", &invitation],
        &["trust", "show", &items],
        &["trust", "import", &items],
        &["cert", "show", &certificate],
        &["key", "generate", "zone", "--out", &out],
        &["state", "restore", &items],
    ] {
        let output = as_nobody(folder.path(), Path::new("/nowhere"), args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(6), "{args:?}: {said}");
        assert!(said.contains("Permission denied"), "{args:?}: {said}");
        assert!(said.ends_with("next: the same with sudo\n"), "{args:?}: {said}");
    }
}

#[test]
fn a_socket_that_this_user_may_not_open_is_6_and_says_that_it_is_the_right_that_is_missing() {
    let (folder, daemon) = (open_folder(), Daemon::start(Paris::Up));
    let socket = daemon.socket();
    set_permissions(daemon.folder(), Permissions::from_mode(0o755)).unwrap();
    set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    let output = as_nobody(folder.path(), &socket, &["status"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{said}");
    let expected = format!(
        "zonemesh: P312 this user may not open {}: Permission denied (os error 13)\n\
         next: sudo usermod -aG zonemesh-admin \"$USER\", then log in again\n",
        socket.display()
    );
    assert_eq!(said, expected);
}
