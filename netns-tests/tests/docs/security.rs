//! SECURITY.md and LIMITS.md promise nothing that no test shows.

use crate::sources::between;
use netns_tests::markdown::{read, root};

/// The tests that a line links to: name and file.
fn tests_of(line: &str) -> Vec<(&str, &str)> {
    let links = line.split('[').skip(1).filter_map(|rest| rest.split_once("](../"));
    links.filter_map(|(name, rest)| Some((name, rest.split_once(')')?.0))).collect()
}

/// Whether a source file has a function of this name.
pub(crate) fn has_function(file: &str, name: &str) -> bool {
    read(file).lines().any(|line| {
        let line = line.trim_start().trim_start_matches("async ");
        line.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    })
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
            assert!(has_function(file, name), "{file} has no test {name}");
        }
    }
}

#[test]
fn the_limit_on_flowers_version_is_the_one_in_the_code() {
    let eras = crate::sources::flowers_run().into_iter().map(|era| {
        let line = |version: &String| version.rsplit_once('.').expect("three numbers").0.to_owned();
        let lines: Vec<String> = era.run.iter().map(line).collect();
        format!("{} over {}", lines.join(" and "), era.transport)
    });
    let said = format!("**Flower {}.**", eras.collect::<Vec<_>>().join(", "));
    assert!(read("docs/LIMITS.md").contains(&said), "{said} is not in LIMITS.md");
}

#[test]
fn images_documents_and_tests_install_flowers_that_are_run() {
    let (run, preferred) = (crate::sources::flowers_run(), crate::sources::preferred_flower());
    let run: Vec<String> = run.into_iter().flat_map(|era| era.run).collect();
    let setup = read("netns-tests/setup.sh");
    let installed = between(&setup, "for version in ", ";");
    assert_eq!(installed.split(' ').collect::<Vec<_>>(), run);
    assert!(setup.contains(&format!(" flower) install_flower {preferred} ;;")));
    for version in &run {
        let pinned = read(&format!("configs/flower/requirements-{version}.txt"));
        assert!(pinned.contains(&format!("\nflwr=={version} \\\n")), "{version}");
    }
    let mut found = 0;
    for file in netns_tests::markdown::all_documents() {
        let text = read(&file);
        let named = ["flwr==", "/requirements-"].into_iter().flat_map(|m| text.match_indices(m));
        for (_, after) in named.map(|(at, mark)| text.split_at(at + mark.len())) {
            let version: String =
                after.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
            let version = version.trim_end_matches('.').to_owned();
            assert!(version.is_empty() || run.contains(&version), "{file}: {version}");
            found += 1;
        }
    }
    assert!(found >= 3, "only {found} places were found");
    assert!(read("docs/QUICKSTART.md").contains(&format!("/requirements-{preferred}.txt\n")));
    assert!(read("packer/README.md").contains(&format!("prefers, {preferred}:")));
    assert!(read("packer/Makefile").contains(&format!("\nFLOWER_VERSION ?= {preferred}\n")));
    let scenarios = crate::sources::source("crates/lab/src/flower/mod.rs");
    assert!(scenarios.contains(&format!("const VERSION: &str = \"{preferred}\";")));
}
