//! What a build hands to Packer, and the names of what comes out.
//!
//! Packer itself, which would need KVM and a base image here, and the two tools that finish an image
//! are stand-ins that note how they were called; Packer's leaves a file where its disk would be.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{packer, read, text};

const NOTE: &str = r#"#!/usr/bin/env bash
echo "${0##*/} $*" >>"$CALLS"
case "${0##*/} $1" in
"packer build")
    for word; do case "$word" in
        output_dir=*) mkdir -p "${word#*=}"; touch "${word#*=}/$(basename "${word#*=}")" ;;
        packages_dir=*) ls "${word#*=}" >>"$CALLS"; cat "${word#*=}/zonemesh.deb" >>"$CALLS" ;;
    esac; done ;;
"qemu-img convert") cp "${@: -2:1}" "${@: -1}" ;;
esac
"#;

struct BuildMachine(TempDir);

impl BuildMachine {
    fn new(packages: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self(folder);
        for made in ["bin", "packages", "export"] {
            std::fs::create_dir(machine.at(made)).unwrap();
        }
        for program in ["packer", "mkisofs", "virt-sysprep", "qemu-img"] {
            let file = machine.at("bin").join(program);
            std::fs::write(&file, NOTE).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for package in packages {
            std::fs::write(machine.at("packages").join(package), package).unwrap();
        }
        machine
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn build(&self, appliance: &str, name: &str) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(packer().join("build.sh"))
            .args([Path::new(appliance), &self.at("export").join(name)])
            .env("PATH", format!("{}:{path}", self.at("bin").display()))
            .env("CALLS", self.at("calls"))
            .env("PACKAGES_DIR", self.at("packages"))
            .env("ONE_APPS_DIR", "/one-apps")
            .env("BASE_IMAGE", "/images/debian12.qcow2")
            .env("FLOWER_VERSION", "1.42.0")
            .output()
            .expect("bash runs")
    }
}

#[test]
fn packer_builds_the_folder_that_was_named_with_the_newest_packages() {
    let packages = ["zonemesh_0.2.0-1_amd64.deb", "zonemesh_0.10.0-1_amd64.deb"];
    let more = ["zonemesh-superlink_0.3.0-1_amd64.deb", "zonemesh-supernode_0.3.0-1_amd64.deb"];
    let machine = BuildMachine::new(&[packages, more].concat());
    let output = machine.build("service_FlowerSuperNode", "supernode.qcow2");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let calls = read(&machine.at("calls"));
    let folder = packer().join("service_FlowerSuperNode").canonicalize().unwrap();
    for words in [
        format!("packer init {}\n", folder.display()),
        format!("-var input_dir={} ", folder.display()),
        "-var base_image=/images/debian12.qcow2 ".to_owned(),
        "-var flower_version=1.42.0 ".to_owned(),
        "zonemesh-superlink.deb\nzonemesh-supernode.deb\nzonemesh.deb\nzonemesh_0.10.0".to_owned(),
    ] {
        assert!(calls.contains(&words), "{words} is not in {calls}");
    }
    assert!(machine.at("export/supernode.qcow2").exists());
    assert_eq!(std::fs::read_dir(machine.at("export/build")).unwrap().count(), 0);
}

#[test]
fn a_build_without_packages_or_tools_says_what_is_missing() {
    let machine = BuildMachine::new(&[]);
    let output = machine.build("service_ZonemeshGateway", "gateway.qcow2");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("-> make package"), "{output:?}");
    std::fs::remove_file(machine.at("bin/virt-sysprep")).unwrap();
    let output = machine.build("service_ZonemeshGateway", "gateway.qcow2");
    assert!(text(&output.stderr).contains("virt-sysprep is missing"), "{output:?}");
}

/// What `make` would build.
fn images(arguments: &[&str]) -> Vec<String> {
    let mut make = Command::new("make");
    make.args(["--dry-run", "--always-make", "-C"]).arg(packer()).args(arguments);
    let output = make.output().expect("make runs");
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stdout);
    let calls = said.lines().filter_map(|line| line.strip_prefix("./build.sh "));
    calls.map(str::to_owned).collect()
}

#[test]
fn the_name_of_an_image_tells_its_release_and_its_flower() {
    let release = env!("CARGO_PKG_VERSION");
    for (arguments, flower) in [(&[][..], "1.25.0"), (&["FLOWER_VERSION=1.42.0"], "1.42.0")] {
        let mut wanted =
            vec![format!("service_ZonemeshGateway export/service_ZonemeshGateway-{release}.qcow2")];
        for name in
            ["service_FlowerSuperLink", "service_FlowerSuperNode", "service_FlowerSuperLinkGateway"]
        {
            wanted.push(format!("{name} export/{name}-{release}-flwr{flower}.qcow2"));
        }
        assert_eq!(images(arguments), wanted);
    }
}
