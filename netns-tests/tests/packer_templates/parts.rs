//! The scripts as one-apps sees them: valid bash, the five parts, the parameters.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use zonemesh_context::key::STAGE;
use zonemesh_context::{Appliance, Image};

use crate::stages::Vm;
use crate::{APPLIANCES, packer, read, text};

/// Every script below packer/: by its first line or its name.
fn scripts() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![packer()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the project") {
            let path = entry.expect("a readable folder").path();
            let is_shell = path.extension() == Some(OsStr::new("sh"));
            if path.is_dir() {
                folders.push(path);
            } else if is_shell || read(&path).starts_with("#!") {
                found.push(path);
            }
        }
    }
    found
}

/// (name, stage, description, user input) of each parameter, as bash reads them.
fn parameters(appliance: &str) -> Vec<[String; 4]> {
    let output = Vm::of(appliance).run(&[], "printf '%s\\0' \"${ONE_SERVICE_PARAMS[@]}\"");
    let listed = text(&output.stdout);
    let words: Vec<_> = listed.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect();
    assert_eq!(words.len() % 4, 0, "{appliance}: ONE_SERVICE_PARAMS has groups of four");
    words.chunks_exact(4).map(|four| [0, 1, 2, 3].map(|at: usize| four[at].clone())).collect()
}

#[test]
fn every_script_is_valid_bash() {
    let scripts = scripts();
    assert!(scripts.len() >= 20, "{scripts:?}");
    for script in scripts {
        let output = Command::new("bash").arg("-n").arg(&script).output().unwrap();
        assert!(output.status.success(), "{}: {}", script.display(), text(&output.stderr));
        let mode = std::fs::metadata(&script).unwrap().permissions().mode();
        let executable = read(&script).starts_with("#!");
        assert_eq!(mode & 0o111 != 0, executable, "{}: mode {mode:o}", script.display());
    }
}

#[test]
fn every_appliance_has_the_parts_that_one_apps_calls() {
    for (folder, _name) in APPLIANCES {
        let output = Vm::of(folder).run(
            &[],
            "declare -F service_install service_configure service_bootstrap service_cleanup
             service_cleanup
             printf '%s\n' \"${ONE_SERVICE_NAME:?}\" \"${ONE_SERVICE_VERSION:?}\" \
                 \"${ONE_SERVICE_SHORT_DESCRIPTION:?}\" \"${ONE_SERVICE_DESCRIPTION:?}\"",
        );
        assert!(output.status.success(), "{folder}: {}", text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().count(), 8, "{folder}");
    }
}

#[test]
fn what_bash_reads_of_the_parameters_is_what_the_table_of_keys_says() {
    for (folder, image) in [
        ("service_ZonemeshGateway", Image::One(Appliance::Gateway)),
        ("service_FlowerSuperLink", Image::One(Appliance::SuperLink)),
        ("service_FlowerSuperNode", Image::One(Appliance::SuperNode)),
        ("service_FlowerSuperLinkGateway", Image::SuperLinkGateway),
    ] {
        let asked = image.keys().filter(|key| image.asks(key));
        let expected = asked.filter_map(|key| {
            let asked = key.question.in_image()?;
            Some([key.name, STAGE, asked.text, &key.image_input()?].map(str::to_owned))
        });
        assert_eq!(parameters(folder), expected.collect::<Vec<_>>(), "{folder}");
    }
}
