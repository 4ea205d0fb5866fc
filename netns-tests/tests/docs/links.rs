//! Links lead somewhere, and the `make` targets that documents name exist.

use std::collections::BTreeSet;
use std::path::Path;

use netns_tests::markdown::{all_documents, documents, read, root};

/// The targets of `[text](target)` outside code.
fn targets(document: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in document.lines() {
        fenced ^= line.starts_with("```");
        if fenced || line.starts_with("    ") {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target.to_owned()));
    }
    found
}

/// The anchor that a heading gets: lower case, spaces to dashes, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut seen = 0;
    for document in all_documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().expect("a file lies in a folder");
        for target in targets(&text).iter().filter(|target| !target.contains("://")) {
            seen += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { inside(folder, file) };
            assert!(root().join(&path).exists(), "{document}: {target} leads nowhere");
            if !heading.is_empty() {
                let known = read(&path).lines().any(|l| l.starts_with('#') && anchor(l) == heading);
                assert!(known, "{document}: {path} has no heading for #{heading}");
            }
        }
    }
    assert!(seen > 100, "only {seen} links were found");
}

#[test]
fn the_readme_leads_to_every_document() {
    let readme = read("README.md");
    let listed = targets(&readme);
    for document in documents("docs").iter().filter(|path| path.matches('/').count() == 1) {
        // Who works on the sources finds the list of changes by its name.
        let is_listed = listed.contains(document) || document == "docs/CHANGELOG.md";
        assert!(is_listed, "README.md does not lead to {document}");
    }
}

#[test]
fn every_runbook_says_when_what_it_costs_what_to_type_how_to_check_and_what_is_left() {
    let operations = read("docs/OPERATIONS.md");
    let runbooks: Vec<&str> = operations.split("\n## ").skip(1).collect();
    assert!(runbooks.len() >= 8, "only {} runbooks were found", runbooks.len());
    for runbook in runbooks {
        let title = runbook.lines().next().unwrap_or_default();
        let mut rest = runbook;
        for part in ["When.", "Costs.", "Do.", "Check.", "Not mended."] {
            let found = rest.split_once(&format!("\n**{part}** "));
            assert!(found.is_some(), "{title}: no {part} in its place");
            rest = found.map_or("", |(_, behind)| behind);
        }
        assert!(runbook.contains("\n```sh\n"), "{title}: nothing to type");
    }
}

fn inside(folder: &Path, file: &str) -> String {
    folder.join(file).to_str().expect("a name in UTF-8").to_owned()
}

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
fn code_and_links_are_told_apart() {
    assert_eq!(targets("a [b](c.md) `[d](e)`\n```\n[f](g)\n```\n[h](i#j)"), ["c.md", "i#j"]);
    assert_eq!(anchor("## State of a companion"), "state-of-a-companion");
    let named = make_targets(&code("make sure\n`make demo KEEP=1`\n\n    make test  # x\n"));
    assert_eq!(named.into_iter().collect::<Vec<_>>(), ["demo", "test"]);
}
