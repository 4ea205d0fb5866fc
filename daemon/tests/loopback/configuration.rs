//! A configuration that cannot be one.

use std::process::Command;

/// In little memory: what is read without bound takes all there is.
#[test]
fn a_file_without_an_end_keeps_the_daemon_from_starting_and_takes_no_memory() {
    let script = "ulimit -v 2000000; exec \"$0\" run --config /dev/zero";
    let exe = env!("CARGO_BIN_EXE_zonemeshd");
    let output = Command::new("sh").args(["-c", script, exe]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("found more than 1 MiB"), "{said}");
}
