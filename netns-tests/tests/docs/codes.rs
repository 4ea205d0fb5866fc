//! Every code of a finding has a page with its title, and every page is of a code.

use std::collections::BTreeSet;

use zonemesh_core::finding::Code;

use crate::sources::{sources, words};
use netns_tests::markdown::{documents, read, rows};

fn is_code(word: &str) -> bool {
    let mut letters = word.chars();
    let first = letters.next().is_some_and(|letter| "CNPTF".contains(letter));
    first && word.len() == 4 && letters.all(|digit| digit.is_ascii_digit())
}

fn codes() -> BTreeSet<String> {
    Code::ALL.iter().map(ToString::to_string).collect()
}

fn pages() -> BTreeSet<String> {
    let all = documents("docs/codes");
    let name =
        |path: &String| Some(path.strip_prefix("docs/codes/")?.strip_suffix(".md")?.to_owned());
    all.iter().filter_map(name).filter(|name| name != "README").collect()
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    assert_eq!(pages(), codes());
}

#[test]
fn every_page_says_what_it_means_the_evidence_and_the_fix() {
    for code in Code::ALL {
        let page = read(&format!("docs/codes/{code}.md"));
        let title = format!("# {code}: {}\n", code.title());
        assert!(page.starts_with(&title), "the page of {code} is not called {title:?}");
        for part in
            ["\nSaid by: ", "\n    ", "\n## What it means\n", "\n## Evidence\n", "\n## Fix\n"]
        {
            assert!(page.contains(part), "{code} has no {part:?}");
        }
        assert!(page.lines().count() < 60, "{code} is not small any more");
    }
}

#[test]
fn the_list_of_codes_has_their_titles() {
    let rows = rows(&read("docs/codes/README.md"));
    let listed: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let code = row[0].trim_start_matches('[')[..4].to_owned();
            let title = format!("# {code}: {}\n", row[1]);
            let page = read(&format!("docs/codes/{code}.md"));
            assert!(page.starts_with(&title), "{code} is listed as {:?}", row[1]);
            code
        })
        .collect();
    assert_eq!(listed, codes());
}

#[test]
fn no_source_invents_codes() {
    for folder in ["cli/src", "daemon/src", "crates"] {
        let found = words(&sources(folder), is_code);
        assert!(found.is_subset(&codes()), "{folder} has codes without pages: {found:?}");
    }
}
