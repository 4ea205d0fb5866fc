//! The `make` targets that documents name exist.

use std::collections::BTreeSet;

use crate::markdown::{all_documents, read};

/// What follows `make` in code: `make demo`, `make demo KEEP=1`.
fn make_targets(document: &str) -> BTreeSet<String> {
    let words: Vec<&str> =
        document.split(|c: char| c.is_whitespace() || "`(),;".contains(c)).collect();
    let after = words.windows(2).filter(|pair| pair[0] == "make").map(|pair| pair[1]);
    let is_target =
        |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    after.filter(is_target).map(|word| word.trim_end_matches('.').to_owned()).collect()
}

/// Only code: fenced, indented and in backticks.
fn code(document: &str) -> String {
    let mut fenced = false;
    let mut code = String::new();
    for line in document.lines() {
        fenced ^= line.starts_with("```");
        if fenced || line.starts_with("    ") {
            code += line;
        } else {
            code += &line.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(" ; ");
        }
        code.push('\n');
    }
    code
}

#[test]
fn every_make_target_that_is_named_exists() {
    let makefile = read("Makefile");
    let mut named = BTreeSet::new();
    for document in all_documents().iter().filter(|path| !path.starts_with("packer")) {
        for target in make_targets(&code(&read(document))) {
            let rule = format!("{target}:");
            let exists = makefile.lines().any(|line| line.starts_with(&rule));
            assert!(exists, "{document}: the Makefile has no target {target}");
            named.insert(target);
        }
    }
    assert!(named.contains("demo"), "no target was found: {named:?}");
}

#[test]
fn targets_are_found_in_code_only() {
    let named = make_targets(&code("make sure\n`make demo KEEP=1`\n\n    make test  # x\n"));
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["demo", "test"]);
}
