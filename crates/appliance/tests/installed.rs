//! Finding out which Flower is installed, with scripts in the place of its programs.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use zonemesh_appliance::asked::{FlowerQuestion, QuestionError};
use zonemesh_appliance::flower::FlowerHome;
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::reason::Reason;
use zonemesh_appliance::startup::verdict;
use zonemesh_appliance::state_folder::StateFolder;
use zonemesh_core::exit::Exit;
use zonemesh_standin::script;

fn home(folder: &Path) -> FlowerHome {
    FlowerHome::new(folder, &StateFolder::new(folder))
}

#[tokio::test]
async fn the_version_comes_from_python_or_from_flwr() {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("flwr"), "echo 'Flower version: 1.25.1'");
    let found = installed_flower(&home(folder.path()), None, None).await.unwrap();
    assert_eq!(found.version.to_string(), "1.25.1");
    script(&folder.path().join("python"), "echo 'no module named flwr' >&2; exit 1");
    let found = installed_flower(&home(folder.path()), None, None).await.unwrap();
    assert_eq!(found.version.to_string(), "1.25.1");
    script(&folder.path().join("python"), "echo 'Flower version: 1.25.0'");
    let found = installed_flower(&home(folder.path()), None, None).await.unwrap();
    assert_eq!(found.version.to_string(), "1.25.0");
}

#[tokio::test]
async fn what_is_wrong_with_the_programs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = async |wanted: Option<&str>| {
        let wanted = wanted.map(|text| text.parse().unwrap());
        let reason = installed_flower(&home(folder.path()), None, wanted).await.unwrap_err();
        (reason.code(), reason.to_string())
    };
    let (code, text) = wrong(None).await;
    assert_eq!(code, "F502");
    assert!(text.contains("flwr --version cannot be run: No such file"), "{text}");
    let flwr = folder.path().join("flwr");
    script(&flwr, "echo trace >&2; echo 'ModuleNotFoundError: flwr' >&2; exit 1");
    let (code, text) = wrong(None).await;
    assert_eq!(code, "F502");
    assert!(text.contains("ModuleNotFoundError: flwr"), "{text}");
    script(&flwr, "echo 'Flower version: 1.33.0'");
    let (code, text) = wrong(None).await;
    assert_eq!(code, "F504");
    let supported = "1.25 and 1.26 over gRPC, 1.42 over HTTP";
    assert!(text.contains("1.33.0 is installed") && text.contains(supported), "{text}");
    let (code, text) = wrong(Some("1.25.0")).await;
    assert_eq!(code, "F502");
    assert!(text.contains("Flower 1.33.0 is in") && text.contains("=1.25.0"), "{text}");
}

#[tokio::test]
async fn a_folder_that_was_copied_from_elsewhere_is_not_usable() {
    let folder = tempfile::tempdir().unwrap();
    script(&folder.path().join("python"), "echo 'Flower version: 1.42.0'");
    script(&folder.path().join("flwr"), "exit 1");
    installed_flower(&home(folder.path()), None, None).await.unwrap();
    let program = folder.path().join("flower-supernode");
    std::fs::write(&program, "#!/nowhere/venv/bin/python3\nimport sys\n").unwrap();
    let reason = installed_flower(&home(folder.path()), None, None).await.unwrap_err();
    let text = reason.to_string();
    assert_eq!(reason.code(), "F502");
    assert!(text.ends_with("flower-supernode needs /nowhere/venv/bin/python3, which is not there"));
}

#[tokio::test]
async fn a_program_that_leaves_a_child_behind_has_answered_and_the_child_ends() {
    let folder = tempfile::tempdir().unwrap();
    let left = folder.path().join("left");
    let leaves = "sleep 600 &\necho $! > \"$HOME/../left\"\necho 'Flower version: 1.25.0'";
    std::fs::create_dir(folder.path().join("flower")).unwrap();
    script(&folder.path().join("flwr"), leaves);
    let begun = Instant::now();
    let found = installed_flower(&home(folder.path()), None, None).await.unwrap();
    assert_eq!(found.version.to_string(), "1.25.0");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let id = std::fs::read_to_string(left).unwrap();
    let stat = format!("/proc/{}/stat", id.trim());
    let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
    while lives() {
        assert!(begun.elapsed() < Duration::from_secs(30), "process {id} is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_program_that_hangs_or_never_stops_talking_is_silent_and_nothing_of_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("flwr");
    // Who never stops talking is cut off, which ends most.
    for (body, is_cut_off) in
        [("sleep 600 & echo $! > left; wait", false), ("echo $$ > left; exec yes", true)]
    {
        script(&program, &format!("cd {}\n{body}", folder.path().display()));
        let question = FlowerQuestion {
            program: program.clone(),
            arguments: vec!["--version".to_owned()],
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            owner: None,
            patience: Duration::from_secs(3),
        };
        let error = question.answer().await.unwrap_err();
        let is_silent = matches!(error, QuestionError::Silent(_));
        assert!(is_silent || is_cut_off, "{error}");
        let id = std::fs::read_to_string(folder.path().join("left")).unwrap();
        let begun = Instant::now();
        let stat = format!("/proc/{}/stat", id.trim());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(begun.elapsed() < Duration::from_secs(10), "process {id} is left");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let silent = Reason::FlowerSilent { problem: "it took longer".to_owned() };
    assert_eq!((silent.code(), verdict(&silent)), ("F507", Exit::NotYet));
    assert!(silent.fix().contains("flwr --version"), "{}", silent.fix());
}
