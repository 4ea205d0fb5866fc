//! Finding out which Flower is installed, with scripts in the place of its programs.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use zonemesh_appliance::flower::FlowerHome;
use zonemesh_appliance::installed::installed_flower;
use zonemesh_appliance::state_folder::StateFolder;
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
