//! Supervised programs behind the real guard: environment, output, ends of whole groups.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zonemesh_appliance::files::FileOwner;
use zonemesh_appliance::runner::Runner;
use zonemesh_appliance::runner::child::{Child, ChildError, Program, describe};
use zonemesh_appliance::runner::output::LogFile;
use zonemesh_standin::{group, until_gone};

const GUARD: &str = env!("CARGO_BIN_EXE_zonemesh-superlink");

fn shell(folder: &Path, script: &str) -> Program {
    Program {
        name: "sh".into(),
        path: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: BTreeMap::from([
            ("LISTED".into(), "yes".into()),
            ("PATH".into(), "/usr/bin:/bin".into()),
        ]),
        folder: folder.to_owned(),
        owner: None,
    }
}

fn start(folder: &Path, script: &str) -> Child {
    let log = LogFile::open(&folder.join("log")).unwrap();
    Child::start(Path::new(GUARD), &shell(folder, script), log).unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}

async fn until_log(folder: &Path, part: &str) {
    let begun = Instant::now();
    while !log(folder).contains(part) {
        assert!(
            begun.elapsed() < Duration::from_secs(15),
            "the log has no {part}: {}",
            log(folder)
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn output_and_exit_code_arrive_and_only_listed_variables_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo out $LISTED; echo errors >&2; env | cut -d= -f1 | sort | tr '\\n' ' '; pwd; exit 7";
    let mut child = start(folder.path(), script);
    let status = child.wait().await.unwrap();
    assert_eq!((status.code(), describe(status).as_str()), (Some(7), "with exit code 7"));
    let log = log(folder.path());
    assert!(log.starts_with("out yes\nerrors\n"), "{log}");
    let foreign = ["HOME", "USER", "CARGO", "NEXTEST"];
    assert!(foreign.iter().all(|name| !log.contains(name)), "{log}");
    assert!(log.trim_end().ends_with(&folder.path().display().to_string()), "{log}");
}

#[tokio::test]
async fn a_signal_that_ends_the_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), "kill -9 $$");
    assert_eq!(describe(child.wait().await.unwrap()), "by signal 9");
}

#[tokio::test]
async fn what_the_program_leaves_running_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path(), "sleep 600 & echo begun; exit 0");
    let id = child.group().into();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    until_gone(id).await;
}

/// As Flower 1.42 starts its SuperExec: in a session, and so a group, of its own.
const DETACHED: &str = "setsid sh -c 'echo begun $$; exec sleep 600' &";

/// The process that [`DETACHED`] left.
async fn detached(folder: &Path) -> String {
    until_log(folder, "begun ").await;
    let log = log(folder);
    let id = log.lines().find_map(|line| line.strip_prefix("begun ")).unwrap();
    format!("/proc/{id}/stat")
}

async fn until_dead(stat: &str) {
    let begun = Instant::now();
    // A zombie is dead: whoever is its parent by now has not looked yet.
    while std::fs::read_to_string(stat).is_ok_and(|text| !text.contains(") Z ")) {
        assert!(begun.elapsed() < Duration::from_secs(15), "{stat} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_has_left_the_group_ends_with_the_program_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{DETACHED}\nread line < wait");
    nix::unistd::mkfifo(&folder.path().join("wait"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut child = start(folder.path(), &script);
    let stray = detached(folder.path()).await;
    std::fs::write(folder.path().join("wait"), "end\n").unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    until_dead(&stray).await;

    let stubborn = tempfile::tempdir().unwrap();
    let child = start(stubborn.path(), &format!("trap '' TERM\n{DETACHED}\nsleep 600\nsleep 600"));
    let stray = detached(stubborn.path()).await;
    child.stop(Duration::from_millis(300)).await.unwrap();
    until_dead(&stray).await;

    let dropped = tempfile::tempdir().unwrap();
    let child = start(dropped.path(), &format!("{DETACHED}\nsleep 600"));
    let stray = detached(dropped.path()).await;
    drop(child);
    until_dead(&stray).await;
}

#[tokio::test]
async fn an_app_in_a_session_of_its_own_is_seen_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::new(GUARD.into(), folder.path().to_owned());
    let program = shell(folder.path(), "setsid sleep 600 &\nexec tail -f /dev/null");
    runner.start(&program).unwrap();
    let begun = Instant::now();
    while runner.has_started("sleep") != Some(true) {
        assert!(begun.elapsed() < Duration::from_secs(15), "no sleep is seen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(runner.has_started("flwr-serverapp"), Some(false));
    runner.stop().await;
    assert_eq!(runner.has_started("sleep"), None);
}

/// A parent that ends before its children leaves them to the guard, which must not keep their bodies.
#[tokio::test]
async fn orphans_that_end_leave_no_zombies() {
    let folder = tempfile::tempdir().unwrap();
    let orphan = "sh -c 'sh -c \"echo orphan \\$\\$; sleep 0.3\" &'";
    let child = start(folder.path(), &format!("{orphan}\nsleep 600"));
    until_log(folder.path(), "orphan ").await;
    let log = log(folder.path());
    let id = log.lines().find_map(|line| line.strip_prefix("orphan ")).unwrap().to_owned();
    let begun = Instant::now();
    while Path::new("/proc").join(&id).exists() {
        assert!(begun.elapsed() < Duration::from_secs(15), "{id} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(child);
}

#[tokio::test]
async fn the_program_runs_as_its_user_with_that_users_groups() {
    let folder = tempfile::tempdir().unwrap();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::current()).unwrap().unwrap();
    let owner = FileOwner { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
    let log_file = LogFile::open(&folder.path().join("log")).unwrap();
    let program = Program { owner: Some(owner), ..shell(folder.path(), "id -u; id -g; id -G") };
    let mut child = Child::start(Path::new(GUARD), &program, log_file).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0), "{}", log(folder.path()));
    let listed = std::process::Command::new("id").args(["-G", &user.name]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(log(folder.path()), format!("{}\n{}\n{listed}", owner.uid, owner.gid));
}

#[tokio::test]
async fn stop_asks_the_whole_group_first() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'echo parent ends; exit 3' TERM; (trap 'echo child ends; exit' TERM; echo begun; while :; do sleep 0.1; done) & while :; do sleep 0.1; done";
    let child = start(folder.path(), script);
    until_log(folder.path(), "begun").await;
    let id = child.group().into();
    let status = child.stop(Duration::from_secs(10)).await.unwrap();
    assert_eq!(status.code(), Some(3));
    assert_eq!(group(id), "");
    assert!(log(folder.path()).contains("parent ends"), "{}", log(folder.path()));
}

#[tokio::test]
async fn stop_kills_what_does_not_listen() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(folder.path(), "trap '' TERM; echo begun; while :; do sleep 0.1; done");
    until_log(folder.path(), "begun").await;
    let (id, begun) = (child.group().into(), Instant::now());
    child.stop(Duration::from_millis(300)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    until_gone(id).await;
}

#[tokio::test]
async fn dropping_a_child_ends_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(folder.path(), "sleep 600 & echo begun; sleep 600");
    until_log(folder.path(), "begun").await;
    let id = child.group().into();
    drop(child);
    until_gone(id).await;
}

#[tokio::test]
async fn a_program_that_is_missing_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["/nonexistent/flower-superlink", "/etc/passwd", "/tmp"] {
        let program = Program { path: PathBuf::from(path), ..shell(folder.path(), "") };
        let log = LogFile::open(&folder.path().join("log")).unwrap();
        let error = Child::start(Path::new(GUARD), &program, log).unwrap_err();
        assert!(matches!(error, ChildError::NoProgram { .. }), "{error}");
        assert!(error.to_string().starts_with(path), "{error}");
    }
}
