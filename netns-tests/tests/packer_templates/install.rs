//! What runs once, when an image is built: apt that fails instead of warning and waits its turn, and
//! Flower by hash.
//!
//! apt-get, pip and Python are the real ones, on a state, sources and a package of their own;
//! systemctl is a stand-in, as nothing here may stop a unit of this machine.

use std::path::PathBuf;
use std::process::{Command, Output};

use crate::packer;
use crate::stages::Vm;
use crate::text;

/// An apt of its own below $ZONEMESH_ETC, whose only source is this; its lock is at lists/lock.
fn with_apt(source: &str, script: &str) -> String {
    format!(
        "apt=\"$ZONEMESH_ETC.apt\"; mkdir -p \"$apt/lists/partial\" \"$apt/cache/archives/partial\"
        echo '{source}' >\"$apt/sources.list\"
        printf '%s \"%s\";\\n' Dir::State \"$apt\" Dir::State::status /dev/null Dir::Cache \"$apt/cache\" \\
            Dir::Etc::sourcelist \"$apt/sources.list\" Dir::Etc::sourceparts /dev/null \\
            APT::Sandbox::User root Acquire::Retries::Delay false >\"$apt/conf\"
        export APT_CONFIG=\"$apt/conf\"
        systemctl() {{ [ \"$1\" = stop ] || echo inactive; }}
        {script}"
    )
}

const CLOSED: &str = "deb [trusted=yes] http://127.0.0.1:9/ ./";

#[test]
fn an_index_that_cannot_be_fetched_fails_the_installation_where_apt_only_warns() {
    let vm = Vm::of("service_FlowerSuperNode");
    let output = vm.run(&[], &with_apt(CLOSED, "apt-get -q update"));
    assert!(output.status.success(), "apt fails by itself now: {}", text(&output.stderr));
    let output = vm.run(&[], &with_apt(CLOSED, "zonemesh_install_packages nothing"));
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("an index cannot be fetched"), "{output:?}");
    assert!(!text(&output.stderr).contains("Unable to locate package"), "{output:?}");
}

#[test]
fn an_apt_that_another_one_keeps_waiting_goes_on_by_itself() {
    let vm = Vm::of("service_FlowerSuperNode");
    let hold = "import fcntl, sys, time\nf = open(sys.argv[1], 'w')\nfcntl.lockf(f, fcntl.LOCK_EX)\n\
        print(flush=True)\ntime.sleep(3)";
    let script = format!(
        "sleep() {{ command sleep 1; }}
        coproc HOLD {{ python3 -c \"{hold}\" \"$apt/lists/lock\"; }}; read -r _ <&\"${{HOLD[0]}}\"
        ! zonemesh_apt update; zonemesh_until 20 zonemesh_update"
    );
    let output = vm.run(&[], &with_apt("", &script));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("Could not get lock"), "nobody had to wait: {output:?}");
}

#[test]
fn upgrades_that_have_begun_end_before_anything_is_installed() {
    let vm = Vm::of("service_ZonemeshGateway");
    let script = "systemctl() {
            echo \"$*\" >>\"$ZONEMESH_ETC.calls\"
            [ \"$1\" = stop ] && return 5
            [ \"$(grep -c is-active \"$ZONEMESH_ETC.calls\")\" -gt 3 ] || { echo activating; return 3; }
            echo inactive; return 3
        }; zonemesh_quiet; cat \"$ZONEMESH_ETC.calls\"";
    let output = vm.run(&[], script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let calls = text(&output.stdout);
    assert!(calls.starts_with("stop apt-daily.timer apt-daily-upgrade.timer\n"), "{calls}");
    assert_eq!(calls.matches("is-active apt-daily.service").count(), 4, "{calls}");
}

#[test]
fn a_disk_without_room_is_told_before_it_is_full() {
    let vm = Vm::of("service_FlowerSuperNode");
    assert!(vm.run(&[], "zonemesh_room 1").status.success());
    let output = vm.run(&[], "zonemesh_room 999999999");
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("999999999 MiB are needed: give the image a larger disk_size"), "{said}");
}

/// A VM with a wheel, and a list `requirements-9.9.9.txt` that gives this hash of it.
fn with_list(hash: &str) -> (Vm, PathBuf) {
    let vm = Vm::of("service_FlowerSuperNode");
    let lists = vm.file("share/zonemesh-supernode/flower");
    std::fs::create_dir_all(&lists).unwrap();
    let wheel = lists.join("tiny-1.0-py3-none-any.whl");
    let make = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('tiny.py', '')\nd = 'tiny-1.0.dist-info/'\n\
        z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n\
        z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr(d + 'RECORD', '')\nz.close()\nimport hashlib\n\
        print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())";
    let made = Command::new("python3").args(["-c", make]).arg(&wheel).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let hash = if hash.is_empty() { text(&made.stdout).trim().to_owned() } else { hash.to_owned() };
    let line = format!("{} --hash=sha256:{hash}\n", wheel.display());
    std::fs::write(lists.join("requirements-9.9.9.txt"), line).unwrap();
    let flower = vm.file("flower");
    (vm, flower)
}

fn install(vm: &Vm, version: &str) -> Output {
    let (share, flower) = (vm.file("share"), vm.file("flower"));
    let context = [
        ("ZONEMESH_SHARE", share.to_str().unwrap()),
        ("ZONEMESH_FLOWER", flower.to_str().unwrap()),
        ("ZONEMESH_FLOWER_VERSION", version),
    ];
    let script = "apt-get() { :; }; systemctl() { :; }
        zonemesh-supernode() { [ \"$1\" = flower-version ] && echo 9.9.9; }; service_install";
    vm.run(&context, script)
}

#[test]
fn flower_is_installed_as_it_was_tested_and_its_user_can_read_it() {
    for version in ["", "9.9.9"] {
        let (vm, flower) = with_list("");
        let output = install(&vm, version);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let find = ["-name", "tiny.py", "-perm", "-444"];
        let found = Command::new("find").arg(&flower).args(find).output().unwrap();
        assert!(text(&found.stdout).contains("/site-packages/tiny.py"), "{found:?}");
    }
}

#[test]
fn a_file_with_another_hash_and_a_flower_without_a_list_are_refused() {
    let (vm, flower) = with_list(&"0".repeat(64));
    let output = install(&vm, "9.9.9");
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("DO NOT MATCH THE HASHES"), "{output:?}");
    assert!(flower.exists());
    let output = install(&vm, "1.30.0");
    let said = text(&output.stderr);
    assert!(
        said.contains("Flower 1.30.0 was not tested; there are: requirements-9.9.9.txt"),
        "{said}"
    );
    // What is shipped has a list for the Flower that the companions choose by themselves.
    assert!(packer().join("../configs/flower/requirements-1.25.0.txt").exists());
}
