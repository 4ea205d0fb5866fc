//! SECURITY.md and LIMITS.md promise nothing that no test shows.

use netns_tests::markdown::{read, root};

/// The tests that a line links to: name and file.
fn tests_of(line: &str) -> Vec<(&str, &str)> {
    let links = line.split('[').skip(1).filter_map(|rest| rest.split_once("](../"));
    links.filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0))).collect()
}

#[test]
fn whoever_cannot_do_something_is_stopped_by_a_test_that_exists() {
    let text = read("docs/SECURITY.md");
    let promises: Vec<&str> = text.lines().filter(|line| line.starts_with("- Cannot ")).collect();
    assert!(promises.len() > 20, "only {} promises were found", promises.len());
    for promise in promises {
        let tests = tests_of(promise);
        assert!(!tests.is_empty(), "no test shows: {promise}");
        for (name, file) in tests {
            assert!(file.ends_with(".rs") && root().join(file).is_file(), "{file} is no test");
            let found = read(file).lines().any(|line| {
                let line = line.trim_start().trim_start_matches("async ");
                line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
            });
            assert!(found, "{file} has no test {name}");
        }
    }
}

#[test]
fn the_limit_on_flowers_version_is_the_one_in_the_code() {
    let profile = crate::sources::source("crates/appliance/src/flower/mod.rs");
    assert!(
        profile.contains("version.major == 1 && version.minor == 25"),
        "other versions are run"
    );
    assert!(read("docs/LIMITS.md").contains("**Flower 1.25 over gRPC only.**"));
}
