//! What goes into the images, and what Packer says to the templates.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{APPLIANCES, packer, read, text};

#[test]
fn images_hold_packages_with_the_unit_and_the_program_that_they_start() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
    let deb = |package: &cargo_metadata::Package| package.metadata.get("deb").cloned();
    for (folder, _name) in APPLIANCES {
        let variables = read(&packer().join(folder).join("variables.pkr.hcl"));
        let (_, packages) = variables.split_once("variable \"packages\"").unwrap();
        let (_, list) = packages.split_once("default = [").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let wanted = list.split(", ").map(|name| name.trim_matches('"'));
        let assets = wanted.map(|wanted| {
            let found = metadata.packages.iter().find_map(|package| {
                let deb = deb(package)?;
                let name = deb["name"].as_str().unwrap_or(&package.name).to_owned();
                (name == wanted).then(|| deb["assets"].to_string())
            });
            found.unwrap_or_else(|| panic!("{folder}: {wanted} is no package of ours"))
        });
        let assets: String = assets.collect();
        let script = read(&packer().join(folder).join("appliance.sh"));
        let starts = script.lines().filter_map(|line| line.trim().strip_prefix("zonemesh_start "));
        let units = starts.flat_map(str::split_whitespace);
        assert!(units.clone().count() > 0, "{folder} starts nothing");
        for unit in units {
            let is_packed = assets.contains(&format!("configs/{unit}\""));
            assert!(is_packed, "{folder}: {unit} is in none of {list}");
            let file = read(&packer().join("../configs").join(unit));
            let started = file.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
            let program = started.split(' ').next().unwrap().rsplit('/').next().unwrap();
            assert!(assets.contains(&format!("target/release/{program}\"")), "{folder}: {program}");
        }
    }
}

#[test]
fn the_build_context_opens_ssh_and_the_image_closes_it() {
    let output = Command::new(packer().join("base/gen_context")).output().unwrap();
    let context = text(&output.stdout);
    let script = context.lines().find_map(|line| {
        line.strip_prefix("START_SCRIPT_BASE64='").and_then(|rest| rest.strip_suffix('\''))
    });
    let decode = format!("base64 -d <<<'{}' | tee /dev/stderr | bash -n", script.unwrap());
    let output = Command::new("bash").args(["-c", &decode]).output().unwrap();
    assert!(output.status.success());
    let opened = text(&output.stderr);
    let file = opened.lines().find_map(|line| line.split("> ").nth(1)?.split(' ').next()).unwrap();
    assert!(opened.contains("PasswordAuthentication yes"));
    let closing = read(&packer().join("base/81-configure-ssh.sh"));
    assert!(closing.contains(&format!("rm -f {file}")), "{file} stays in the image");
}

/// The folder with its links resolved, to be damaged.
fn copy(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let into = copy.path().join(folder);
    let done = Command::new("cp").arg("-rL").args([packer().join(folder), into]).status();
    assert!(done.expect("cp runs").success());
    copy
}

fn validate(folder: &Path) -> Output {
    Command::new(packer().join("validate.sh")).arg(folder).output().expect("bash runs")
}

#[test]
fn packer_accepts_every_folder_and_its_form() {
    for (folder, _name) in APPLIANCES {
        let output = validate(&packer().join(folder));
        assert!(output.status.success(), "{folder}: {output:?}");
        assert!(text(&output.stdout).contains("is accepted by Packer v"), "{output:?}");
    }
}

#[test]
fn packer_refuses_a_damaged_copy() {
    let damages = [
        ("qemuargs = [", "qemuarg = ["),
        ("var.base_image", "var.base_imag"),
        ("lib/common.sh", "lib/commons.sh"),
        ("source \"qemu\" \"appliance\" {", "source \"qemu\" \"appliance\" {{"),
        ("  cpus        = 2", "cpus = 2"),
    ];
    for (good, bad) in damages {
        let copy = copy("service_ZonemeshGateway");
        let folder = copy.path().join("service_ZonemeshGateway");
        let file = folder.join("ZonemeshGateway.pkr.hcl");
        let before = read(&file);
        assert!(before.contains(good), "{good}");
        std::fs::write(&file, before.replacen(good, bad, 1)).unwrap();
        let output = validate(&folder);
        assert!(!output.status.success(), "{bad}");
        assert!(text(&output.stderr).contains("is refused, see above"), "{output:?}");
    }
}

#[test]
fn only_one_file_asks_for_plugins_and_the_rest_is_shared() {
    for (folder, name) in APPLIANCES {
        let folder = packer().join(folder);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let own =
                ["variables.pkr.hcl", "appliance.sh", "CHANGELOG.md"].contains(&file.as_str());
            assert_eq!(path.is_symlink(), !own, "{}", path.display());
            let asks = read(&path).contains("required_plugins");
            assert_eq!(asks, file == "plugins.pkr.hcl", "{}", path.display());
        }
        assert!(folder.join(format!("{name}.pkr.hcl")).exists());
    }
    let build = read(&packer().join("base/build.pkr.hcl"));
    for unknown in ["cpu_model", "firmware", "use_pflash"] {
        assert!(!build.contains(unknown), "Packer 1.6 does not know {unknown}");
    }
}
