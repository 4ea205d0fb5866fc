//! The tables of keys in REFERENCE.md are those that the table of keys gives.
//!
//! After a change of that table `UPDATE_REFERENCE=1 cargo test -p zonemesh-config --test reference`
//! writes them anew. The words round the tables are written by hand.

use std::path::{Path, PathBuf};

use zonemesh_config::{KeyNeed, KeySpec, SECTIONS, SectionSpec};

const HEAD: &str = "| key | default | meaning |\n|---|---|---|\n";

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md")
}

fn row(key: &KeySpec) -> String {
    let default = match key.need {
        KeyNeed::Default(toml) => format!("`{toml}`"),
        KeyNeed::Required(_) | KeyNeed::Absent(_) => key.shown_default().to_owned(),
    };
    format!("| `{}` | {default} | {} |\n", key.name, key.meaning)
}

fn table(section: &SectionSpec) -> String {
    section.keys.iter().map(row).fold(HEAD.to_owned(), |table, row| table + &row)
}

/// The text with the table of each section as the list of keys gives it.
fn with_tables(text: &str) -> String {
    let mut text = text.to_owned();
    for section in SECTIONS {
        let heading = format!("\n### `{}`\n", section.heading());
        let at = text.find(&heading).expect("the section has its heading");
        let start = at + text[at..].find(HEAD).expect("the section has a table");
        let end = text[start..].find("|\n\n").map_or(text.len(), |end| start + end + 2);
        text.replace_range(start..end, &table(&section));
    }
    text
}

#[test]
fn every_table_of_keys_is_the_one_of_the_code() {
    let text = std::fs::read_to_string(file()).expect("docs/REFERENCE.md is there");
    let expected = with_tables(&text);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        // Whole or not at all: the test beside this one reads the file meanwhile.
        let new = file().with_extension("md.new");
        std::fs::write(&new, &expected).expect("docs/ can be written to");
        std::fs::rename(&new, file()).expect("docs/REFERENCE.md can be replaced");
        return;
    }
    for (number, (found, expected)) in text.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}: see the head of this test", number + 1);
    }
    assert_eq!(text.len(), expected.len());
}

#[test]
fn the_sections_stand_in_the_order_of_the_code() {
    let text = std::fs::read_to_string(file()).expect("docs/REFERENCE.md is there");
    let (_, all) = text.split_once("\n## Configuration\n").expect("the part is there");
    let all = all.split_once("\n## ").map_or(all, |(all, _)| all);
    let headings: Vec<&str> = all.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let expected = SECTIONS.map(|section| format!("`{}`", section.heading()));
    assert_eq!(headings, expected);
}
