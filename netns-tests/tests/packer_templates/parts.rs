//! The scripts as one-apps sees them: valid bash, the five parts, the parameters.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

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

/// (name, stage, description, user input) of each parameter.
fn parameters(appliance: &str) -> Vec<[String; 4]> {
    let output = Vm::of(appliance).run(&[], "printf '%s\\0' \"${ONE_SERVICE_PARAMS[@]}\"");
    let listed = text(&output.stdout);
    let words: Vec<_> = listed.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect();
    assert_eq!(words.len() % 4, 0, "{appliance}: ONE_SERVICE_PARAMS has groups of four");
    words.chunks_exact(4).map(|four| [0, 1, 2, 3].map(|at: usize| four[at].clone())).collect()
}

/// The keys that the program of an appliance reads.
fn known_keys(appliance: &str) -> BTreeSet<String> {
    let of = match appliance {
        "service_ZonemeshGateway" => "../crates/gateway/src/settings/keys.rs",
        _ => "../crates/appliance/src/settings/mod.rs",
    };
    let settings = read(&packer().join(of));
    let quoted = settings.split('"').filter(|word| word.starts_with("ONEAPP_ZONEMESH_"));
    quoted.map(ToOwned::to_owned).collect()
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
fn what_an_appliance_asks_is_what_its_program_reads() {
    for (folder, _name) in APPLIANCES {
        let known = known_keys(folder);
        let script = read(&packer().join(folder).join("appliance.sh"));
        for [name, stage, description, input] in parameters(folder) {
            let read_here = script.matches(&format!("${{{name}:-}}")).count() > 0;
            assert!(known.contains(&name) || read_here, "{folder}: nobody reads {name}");
            assert_eq!(stage, "configure", "{folder}: {name}");
            assert!(!description.is_empty(), "{folder}: {name}");
            let inputs = ["M|text", "O|text", "O|text64", "M|password", "O|password"];
            assert!(inputs.contains(&input.as_str()));
            let is_secret = ["_TOKEN", "_INVITATION"].iter().any(|end| name.ends_with(end));
            assert_eq!(is_secret, input.ends_with("password"), "{folder}: {name}");
        }
    }
    let asked = |folder| parameters(folder).into_iter().map(|four| four[0].clone());
    let of_gateway: BTreeSet<String> = asked("service_ZonemeshGateway").collect();
    assert_eq!(of_gateway, known_keys("service_ZonemeshGateway"));
    for name in ["FEDERATION", "TOKEN", "GATEWAY"] {
        let name = format!("ONEAPP_ZONEMESH_{name}");
        assert!(asked("service_FlowerSuperLink").any(|asked| asked == name), "{name}");
    }
}
