//! A process that writes the state folder is killed at any moment, again and again: a real `kill -9`.
//!
//! After each the folder opens: keys whole, CA pairs complete, every item readable; and when what was
//! left is cleared, nothing stands there that nobody will ever rename.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use zonemesh_core::membership::{
    AuthorityIdentity, GrantRequest, Membership, SignedTrustItem, TrustItem, sign,
};
use zonemesh_core::name::FederationName;
use zonemesh_core::time::UnixMillis;

use super::federation::CaFiles;
use super::trust::TrustFiles;
use super::{FileSystem, Together, Write, keys, leftovers, write_all, writer};

const CHILD: &str = "facts::disk::killed::a_child_writes_where_its_parent_asks_for_it";
/// The folder that the child writes; without it that test writes nothing.
const FOLDER: &str = "ZONEMESH_TEST_KILLED_FOLDER";
/// Says that it makes CA pairs and nothing else.
const ONLY_PAIRS: &str = "ZONEMESH_TEST_KILLED_PAIRS";
const KILLS: usize = 100;

fn federation(n: usize) -> FederationName {
    format!("federation-{n}").parse().unwrap()
}

fn mesh() -> (Membership, AuthorityIdentity) {
    let authority = AuthorityIdentity::from_seed(&[3; 32]);
    let keys = BTreeSet::from([authority.public_key()]);
    let set = Membership::draft_first(keys.clone(), keys, 1, UnixMillis(1)).unwrap();
    let first = SignedTrustItem::unsigned(&TrustItem::AuthoritySet(set));
    (Membership::new(first).unwrap(), authority)
}

/// One round: each kind of thing that a gateway keeps, new or in place of what was there.
fn write_round(folder: &Path, round: usize) {
    let mut disk = FileSystem;
    keys::zone_identity(&folder.join("zone.key")).unwrap();
    let key = folder.join("wireguard.key");
    keys::wireguard(&key).unwrap();
    if !keys::next_file(&key).exists() {
        let (_, write) = keys::new_wireguard(keys::next_file(&key)).unwrap();
        write_all(&mut disk, &[write]).unwrap();
    }
    write_all(&mut disk, &[keys::promote_next(&key)]).unwrap();
    CaFiles::new(folder, &federation(round)).open(&[]).unwrap();
    let (mesh, authority) = mesh();
    let trust = TrustFiles::open(folder).unwrap();
    let request = GrantRequest {
        zone: format!("z{round}").parse().unwrap(),
        zone_key: zonemesh_core::key::ZoneIdentity::from_seed(&[7; 32]).public_key(),
        prefixes: vec!["10.10.1.0/24".parse().unwrap()],
        tunnel_ips: Vec::new(),
        federations: Vec::new(),
    };
    let grant = TrustItem::Grant(mesh.draft_grant(request, UnixMillis(2)).unwrap());
    let mut writes = trust.adopt(&mesh);
    writes.extend(trust.write(&[sign(mesh.authority_set().1, &grant, &[&authority])]));
    writes.push(Write::replace(folder.join("blocked"), format!("madrid{round}\n")));
    writes.push(Write::Append(folder.join("audit"), format!("{round}\n")));
    // As a gateway adopts a mesh.
    Together::new(folder).write(&mut disk, &writes).unwrap();
}

#[test]
fn a_child_writes_where_its_parent_asks_for_it() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let only_pairs = std::env::var_os(ONLY_PAIRS).is_some();
    println!("writing");
    for round in 0.. {
        // A few names only: most of it takes the place of something.
        match only_pairs {
            true => drop(CaFiles::new(&folder, &federation(round % 7)).open(&[]).unwrap()),
            false => write_round(&folder, round % 7),
        }
        if round % 7 == 6 {
            discard(&folder);
        }
    }
}

/// Takes the federations away in one step, so that a kill here leaves no half pair.
fn discard(folder: &Path) {
    let old = folder.join("old");
    drop(std::fs::remove_dir_all(&old));
    drop(std::fs::rename(folder.join("federations"), old));
}

/// Starts a child and kills it some time after it has begun to write. Every second one makes CA
/// pairs alone, as their two files are the most that one step has.
fn kill_a_writer(folder: &Path, random: u8) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    if random.is_multiple_of(2) {
        child.env(ONLY_PAIRS, "");
    }
    let mut child = child
        .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("writing")), "it ended by itself");
    std::thread::sleep(Duration::from_micros(u64::from(random) * 100));
    // SIGKILL.
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9), "{ended:?}");
}

/// All files below a folder.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| if path.is_dir() { all_files(&path) } else { vec![path] };
    entries.flat_map(of).collect()
}

/// What a start finds: everything is whole, and nothing was set aside.
fn check_opens(folder: &Path) {
    Together::new(folder).finish().unwrap();
    keys::zone_identity(&folder.join("zone.key")).unwrap();
    let key = folder.join("wireguard.key");
    keys::wireguard(&key).unwrap();
    keys::next_wireguard(&key).unwrap();
    for entry in std::fs::read_dir(folder.join("federations")).into_iter().flatten() {
        let pair = entry.unwrap().path();
        let has = |name: &str| pair.join(name).exists();
        assert_eq!(has("ca.key"), has("ca.pem"), "half a pair: {}", pair.display());
        let name = pair.file_name().unwrap().to_str().unwrap().parse().unwrap();
        CaFiles::new(folder, &name).open(&[]).unwrap();
    }
    TrustFiles::open(folder).unwrap().read().unwrap();
    let blocked = super::blocked::BlockedFile::new(folder).read().zones;
    assert!(blocked.len() <= 1);
    let left = all_files(folder).into_iter().filter(|path| {
        let name = path.file_name().unwrap();
        leftovers::is_temporary(name) || name.to_string_lossy().contains(".bad")
    });
    assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_folder_whose_writer_was_killed_100_times_opens_and_holds_no_leftovers() {
    let (state, mut seen) = (tempfile::tempdir().unwrap(), 0);
    let mut random = [0; KILLS];
    getrandom::fill(&mut random).unwrap();
    for byte in random {
        kill_a_writer(state.path(), byte);
        drop(std::fs::remove_dir_all(state.path().join("old")));
        let is_left = |path: &PathBuf| leftovers::is_temporary(path.file_name().unwrap());
        seen += usize::from(all_files(state.path()).iter().any(is_left));
        leftovers::remove_all(state.path().to_owned(), &writer()).await;
        check_opens(state.path());
    }
    println!("{seen} of {KILLS} killed writers left a temporary file");
    assert!(seen > 0, "no kill hit a write");
}
