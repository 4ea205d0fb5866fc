//! Flower has a user of its own, as on the images: who runs what in a SuperLink's VM, and whose the
//! files are.
//!
//! ```text
//!   berlin
//!   superlink 10.10.10.5 - gw       companion: root, as its unit has it; Flower: a user that owns nothing
//! ```

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use zonemesh_lab::federation::{HOME, LabFederation, SUPERLINK};
use zonemesh_lab::flower::FlowerUser;
use zonemesh_lab::lab::{Lab, ZonePlan};

const ZONES: [ZonePlan<'_>; 1] = [ZonePlan { name: HOME, vms: &[SUPERLINK] }];
/// chown, dac_override, fowner, kill, net_admin, setgid and setuid, by their numbers in capabilities(7).
const OF_UNIT: &str = "00000000000010eb";
/// The same without CAP_NET_ADMIN, which is for the routes alone.
const OF_GUARD: &str = "00000000000000eb";

/// A process as /proc/PID/status has it.
struct Shown {
    command: String,
    fields: BTreeMap<String, String>,
}

impl Shown {
    fn read(id: &str) -> Option<Self> {
        let folder = Path::new("/proc").join(id);
        let command = std::fs::read_to_string(folder.join("cmdline")).ok()?.replace('\0', " ");
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let field = |line: &str| {
            let (key, value) = line.split_once(':')?;
            Some((key.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        Some(Self { command, fields: status.lines().filter_map(field).collect() })
    }

    fn is(&self, wanted: &[(&str, &str)]) -> Result<()> {
        for (key, value) in wanted {
            let shown = self.fields.get(*key).map(String::as_str);
            ensure!(shown == Some(value), "{}: {key} is {shown:?}, not {value}", self.command);
        }
        Ok(())
    }
}

/// All that run in the SuperLink's VM.
fn processes(federation: &LabFederation) -> Result<Vec<Shown>> {
    let place = &federation.lab.zone(HOME)?.vm(SUPERLINK)?.namespace;
    let ids = place.run(&["ip", "netns", "pids", place.name()])?;
    Ok(ids.split_whitespace().filter_map(Shown::read).collect())
}

fn each_has_the_rights_that_it_should(federation: &LabFederation, user: &FlowerUser) -> Result<()> {
    let uid = [user.uid(); 4].map(|id| id.to_string()).join(" ");
    let all = processes(federation)?;
    let (companion, flower): (Vec<_>, Vec<_>) =
        all.iter().partition(|one| one.command.contains("zonemesh-superlink "));
    // The companion and its guard.
    ensure!(companion.len() == 2, "{:?}", all.iter().map(|one| &one.command).collect::<Vec<_>>());
    for one in companion {
        let effective = if one.command.contains(" guard ") { OF_GUARD } else { OF_UNIT };
        one.is(&[("Uid", "0 0 0 0"), ("CapBnd", OF_UNIT), ("CapEff", effective)])?;
        one.is(&[("NoNewPrivs", "1"), ("Umask", "0077")])?;
    }
    let runs = |name: &str| flower.iter().any(|one| one.command.contains(name));
    ensure!(runs("flower-superlink") && runs("flower-superexec"), "Flower does not run");
    for one in flower {
        one.is(&[("Uid", &uid), ("CapEff", "0000000000000000"), ("NoNewPrivs", "1")])?;
    }
    Ok(())
}

/// Every file below, but what Flower has in its own folder.
fn below(folder: &Path, but: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true if path == but => {}
            true => found.extend(below(&path, but)?),
            false => found.push(path),
        }
    }
    Ok(found)
}

/// What Flower's user is given to read; the rest is root's, as the folder of these is.
const GIVEN: [&str; 3] = ["tls/ca.pem", "tls/server.key", "tls/server.pem"];

/// Of the companion's folder Flower's user can change what is in `flower`, and put nothing in the place
/// of anything else.
fn files_are_whose_they_should_be(federation: &LabFederation, user: &FlowerUser) -> Result<()> {
    let state = federation.companion_folder(HOME, SUPERLINK);
    let own = state.join("flower");
    let meta = std::fs::metadata(&own)?;
    ensure!((meta.uid(), meta.mode() & 0o7777) == (user.uid(), 0o700), "{meta:?}");
    ensure!(own.join("superlink.db").is_file(), "the database is elsewhere");
    let mut given = Vec::new();
    for path in below(&state, &own)? {
        let meta = std::fs::metadata(&path)?;
        let name = path.strip_prefix(&state)?.display().to_string();
        ensure!(meta.mode() & 0o022 == 0, "others may write {name}: {meta:?}");
        if meta.uid() == user.uid() {
            given.push(name);
        } else {
            ensure!(meta.uid() == 0, "{name} is of {}", meta.uid());
        }
    }
    given.sort();
    ensure!(given == GIVEN, "Flower's files: {given:?}");
    for secret in ["tls/server.key", "tls/identity.pem"] {
        let mode = std::fs::metadata(state.join(secret))?.mode() & 0o7777;
        ensure!(mode == 0o600, "{secret} has mode {mode:o}");
    }
    Ok(())
}

#[test]
fn flower_runs_as_a_user_of_its_own_and_the_companion_with_what_its_unit_leaves_it() -> Result<()> {
    let user = FlowerUser::here()?.context("in a user namespace there is one user only")?;
    let mut federation = LabFederation::prepare(Lab::new(&ZONES)?)?;
    federation.mesh.start(&federation.lab)?;
    federation.start_superlink()?;
    federation.wait_until_ready()?;
    ensure!(federation.supernodes_of_superlink()?.is_empty(), "a SuperNode from nowhere");
    each_has_the_rights_that_it_should(&federation, &user)?;
    files_are_whose_they_should_be(&federation, &user)?;
    federation.succeeded()
}
