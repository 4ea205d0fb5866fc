//! SECURITY.md and LIMITS.md promise nothing that no test shows.

use netns_tests::markdown::{read, root};

/// The tests that a line links to: name and file.
fn tests_of(line: &str) -> Vec<(&str, &str)> {
    let links = line.split('[').skip(1).filter_map(|rest| rest.split_once("](../"));
    links.filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0))).collect()
}

#[test]
fn whatever_somebody_can_or_cannot_do_is_shown_by_a_test_that_exists() {
    // A promise may go on in the lines below it.
    let text = read("docs/SECURITY.md").replace("\n  ", " ");
    let (shown, not_shown) = text.split_once("\n## Not shown here\n").expect("the last chapter");
    assert!(!not_shown.contains("\n## "), "a chapter stands behind what is not shown");
    let promises: Vec<&str> = shown.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(promises.len() > 80, "only {} promises were found", promises.len());
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
    let supported = crate::sources::supported_flowers();
    let lines: Vec<&str> = supported
        .iter()
        .map(|version| version.rsplit_once('.').expect("three numbers").0)
        .collect();
    let said = format!("**Flower {} over gRPC only.**", lines.join(", "));
    assert!(read("docs/LIMITS.md").contains(&said), "{said} is not in LIMITS.md");
}

#[test]
fn images_documents_and_tests_install_the_preferred_flower() {
    let supported = crate::sources::supported_flowers();
    let preferred = supported.last().expect("one is preferred");
    let mut files = netns_tests::markdown::all_documents();
    files.extend(
        ["crates/lab/flower/requirements.txt", "netns-tests/setup.sh", "packer/base/zonemesh.sh"]
            .map(str::to_owned),
    );
    let mut found = 0;
    for file in files {
        let text = read(&file);
        for (_, after) in
            text.match_indices("flwr==").map(|(at, mark)| text.split_at(at + mark.len()))
        {
            let version: String =
                after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let version = version.trim_end_matches('.');
            assert!(version.is_empty() || version == preferred, "{file}: flwr=={version}");
            found += 1;
        }
    }
    assert!(found >= 3, "only {found} places were found");
    let scenarios = crate::sources::source("crates/lab/src/flower.rs");
    assert!(scenarios.contains(&format!("const VERSION: &str = \"{preferred}\";")));
    let setup = read("netns-tests/setup.sh");
    assert!(setup.contains(&format!("zonemesh/flower-{preferred}\n")), "setup.sh");
}
