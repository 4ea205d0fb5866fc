//! What goes into the images, and what Packer says to the templates.

use std::ffi::OsStr;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{APPLIANCES, packer, read, text};

const PACKER_MISSING: &str = "this test needs Packer: apt-get install packer";

#[test]
fn images_hold_packages_with_the_unit_and_the_program_that_they_start() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().exec().unwrap();
    let deb = |package: &cargo_metadata::Package| package.metadata.get("deb").cloned();
    for (folder, _name) in APPLIANCES {
        let variables = read(&packer().join(folder).join("variables.pkr.hcl"));
        let quoted: Vec<_> = variables.split('"').skip(1).step_by(2).collect();
        let wanted = *quoted.last().unwrap();
        let found = metadata.packages.iter().find_map(|package| {
            let deb = deb(package)?;
            let name = deb["name"].as_str().unwrap_or(&package.name).to_owned();
            (name == wanted).then(|| deb["assets"].to_string())
        });
        let assets = found.unwrap_or_else(|| panic!("{folder}: {wanted} is no package of ours"));
        let script = read(&packer().join(folder).join("appliance.sh"));
        let words: Vec<&str> = script.split_whitespace().collect();
        let units = words.windows(2).filter(|pair| pair[0] == "zonemesh_start").map(|pair| pair[1]);
        assert!(units.clone().count() > 0, "{folder} starts nothing");
        for unit in units {
            let is_packed = assets.contains(&format!("configs/{unit}\""));
            assert!(is_packed, "{folder}: {unit} is not in {wanted}");
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

/// A folder with its links resolved, without required_plugins, and everything it refers to.
fn copy_for_packer(folder: &str) -> TempDir {
    let copy = tempfile::tempdir().expect("a temporary folder");
    let script = "cp -rL \"$1/$2\" \"$3/image\" && rm \"$3/image/plugins.pkr.hcl\"
        mkdir -p \"$3/one-apps/appliances/\"{scripts,lib} \"$3/packages\" && cd \"$3\"
        touch one-apps/appliances/scripts/net-9{0-service-appliance,9-report-ready}
        touch one-apps/appliances/lib/{common,functions}.sh one-apps/appliances/service.sh
        touch packages/zonemesh{,-superlink,-supernode}.deb base.qcow2";
    let done = Command::new("bash")
        .args(["-ec", script, "copy"])
        .args([packer().as_os_str(), OsStr::new(folder), copy.path().as_os_str()])
        .status()
        .expect("bash runs");
    assert!(done.success());
    copy
}

fn validate(copy: &TempDir, options: &[&str]) -> Output {
    let at = |name: &str| copy.path().join(name).display().to_string();
    let variables = [
        ("input_dir", at("image")),
        ("output_dir", at("output")),
        ("base_image", at("base.qcow2")),
        ("one_apps_dir", at("one-apps")),
        ("packages_dir", at("packages")),
    ];
    let variables =
        variables.iter().flat_map(|(name, value)| ["-var".to_owned(), format!("{name}={value}")]);
    Command::new("packer")
        .arg("validate")
        .args(options)
        .args(variables)
        .arg(copy.path().join("image"))
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect(PACKER_MISSING)
}

#[test]
fn packer_accepts_every_folder_and_its_form() {
    for (folder, _name) in APPLIANCES {
        let copy = copy_for_packer(folder);
        for options in [&["-syntax-only"][..], &[]] {
            let output = validate(&copy, options);
            assert!(output.status.success(), "{folder} {options:?}: {}", text(&output.stdout));
        }
        let output = Command::new("packer")
            .args(["fmt", "-check", "-diff"])
            .arg(copy.path().join("image"))
            .output()
            .expect(PACKER_MISSING);
        assert!(output.status.success(), "{folder}: {}", text(&output.stdout));
    }
}

#[test]
fn packer_refuses_a_damaged_copy() {
    let damages = [
        ("qemuargs = [", "qemuarg = ["),
        ("var.base_image", "var.base_imag"),
        ("lib/common.sh", "lib/commons.sh"),
        ("source \"qemu\" \"appliance\" {", "source \"qemu\" \"appliance\" {{"),
    ];
    for (good, bad) in damages {
        let copy = copy_for_packer("service_ZonemeshGateway");
        let file = copy.path().join("image/ZonemeshGateway.pkr.hcl");
        let before = read(&file);
        assert!(before.contains(good), "{good}");
        std::fs::write(&file, before.replace(good, bad)).unwrap();
        assert!(!validate(&copy, &[]).status.success(), "{bad}");
    }
}

#[test]
fn only_one_file_asks_for_plugins_and_the_rest_is_shared() {
    for (folder, name) in APPLIANCES {
        let folder = packer().join(folder);
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let own = ["variables.pkr.hcl", "appliance.sh"].contains(&file.as_str());
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
