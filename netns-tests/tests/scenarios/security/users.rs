//! Users of a gateway who are not root: those in the group `zonemesh-admin` look, nobody of them
//! changes.
//!
//! ```text
//!   berlin: root's zonemeshd, its admin socket for group zonemesh-admin ==== madrid
//!           user with that group; user without
//! ```
//!
//! To be another user takes root: without it `make test` says so, leaves this file out, and nextest
//! counts it.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use netns_tests::managed::ManagedMesh as _;
use zonemesh_lab::binaries;
use zonemesh_lab::lab::{Lab, ZonePlan};
use zonemesh_lab::mesh::{Mesh, patience};

const ZONES: [ZonePlan<'_>; 2] =
    [ZonePlan { name: "berlin", vms: &[] }, ZonePlan { name: "madrid", vms: &[] }];
/// Group `zonemesh-admin`, as the gateway's machine has it here.
const GROUP: u32 = 4242;
/// Debian's `nobody`; any user but root would do.
const USER: &str = "65534";
const LOOKING: [&[&str]; 9] = [
    &["status"],
    &["peers"],
    &["show", "madrid"],
    &["superlink", "list"],
    &["registry", "list"],
    &["cert", "show"],
    &["zone", "list"],
    &["authority", "list"],
    &["trust", "export", "--out", "items"],
];
const CHANGING: [&[&str]; 10] = [
    &["reload"],
    &["mesh", "init"],
    &["zone", "invite", "paris", "--prefix", "10.10.12.0/24", "--out", "invitation"],
    &["zone", "approve", "paris"],
    &["zone", "revoke", "madrid", "--confirm", "madrid"],
    &["zone", "block", "madrid"],
    &["zone", "unblock", "madrid"],
    &["authority", "threshold", "1"],
    &["key", "rotate"],
    &["key", "rotate", "--finish"],
];

/// A user of berlin's machine, with a copy of the tool where they may start it.
struct User {
    /// As `setpriv` takes them.
    groups: Vec<String>,
    zonemesh: PathBuf,
    socket: PathBuf,
    home: PathBuf,
}

impl User {
    /// One with a home of their own, and with nothing but these groups.
    fn new(lab: &Lab, name: &str, socket: PathBuf, groups: &[&str]) -> Result<Self> {
        let home = lab.folder().join(name);
        let zonemesh = home.join("zonemesh");
        std::fs::create_dir(&home)?;
        std::fs::copy(binaries::find("zonemesh")?, &zonemesh)?;
        std::fs::set_permissions(&zonemesh, Permissions::from_mode(0o755))?;
        std::fs::set_permissions(&home, Permissions::from_mode(0o777))?;
        let groups = groups.iter().map(|text| (*text).to_owned()).collect();
        Ok(Self { groups, zonemesh, socket, home })
    }

    fn types(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER]).args(&self.groups);
        command.arg(&self.zonemesh).arg("--socket").arg(&self.socket).args(args);
        command
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .output()
            .context("setpriv does not start")
    }

    /// Ends with this code, and says why.
    fn is_refused(&self, args: &[&str], why: &str) -> Result<()> {
        let output = self.types(args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let ended = output.status.code();
        ensure!(ended == Some(6) && said.contains(why), "{args:?} ended with {ended:?}: {said}");
        Ok(())
    }
}

fn joined_with_group(lab: &Lab) -> Result<Mesh> {
    let groups = lab.folder().join("group");
    std::fs::write(&groups, format!("root:x:0:\nzonemesh-admin:x:{GROUP}:\n"))?;
    let mut mesh = Mesh::joined(lab)?;
    let berlin = mesh.gateway("berlin")?;
    berlin.stand_ins.insert("/etc/group", groups);
    berlin.kill_9_and_start(lab)?;
    mesh.wait_until_connected(patience())?;
    Ok(mesh)
}

#[test]
fn who_is_in_the_group_may_look_and_only_root_may_change() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let mut mesh = joined_with_group(&lab)?;
    let berlin = mesh.gateway("berlin")?;
    let socket = berlin.socket();
    let owner = std::fs::metadata(&socket)?;
    ensure!((owner.mode() & 0o777, owner.gid()) == (0o660, GROUP), "{owner:?}");
    // The way to the socket is open to all, as /run is.
    for open in [lab.folder(), berlin.folder()] {
        std::fs::set_permissions(open, Permissions::from_mode(0o755))?;
    }
    let groups = ["--groups", &GROUP.to_string()];
    let member = User::new(&lab, "member", socket.clone(), &groups)?;
    let other = User::new(&lab, "other", socket, &["--clear-groups"])?;

    let zones_before = berlin.ask(&["zone", "list"])?;
    let key_before = berlin.ask(&["status"])?["tunnel"]["public_key"].clone();
    for args in LOOKING {
        let output = member.types(args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !output.stdout.is_empty(), "{args:?}: {said}");
        other.is_refused(args, "this user may not open")?;
    }
    for args in CHANGING {
        member.is_refused(args, "changing the mesh takes root")?;
    }
    ensure!(berlin.ask(&["zone", "list"])? == zones_before, "somebody changed the mesh");
    ensure!(berlin.ask(&["status"])?["tunnel"]["public_key"] == key_before);
    // Root is no one of them: the same works at once.
    berlin.ask(&["zone", "block", "madrid"])?;
    berlin.ask(&["zone", "unblock", "madrid"])?;
    lab.succeeded()
}
