//! The little of Markdown that the documents use: sections, fenced blocks, tables.
//!
//! Used by the checks of the documents' text and by the scenarios that run their commands.
//! Promises to panic with the document's name when something that is looked for is not there.

#![allow(clippy::panic, reason = "a document without what is looked for is a failed test")]

use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The word behind the fence: `sh`, `toml`, `text`, `shape`.
    pub language: String,
    /// The comment `<!-- test: … -->` in the line before it, if there is one.
    pub tag: Option<String>,
    /// The lines inside.
    pub text: String,
}

/// The root of the project.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the package lies in the project").to_owned()
}

/// The text of a file of the project.
pub fn read(path: &str) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All `.md` files in `folder` and below, as paths from the root.
pub fn documents(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap_or_else(|error| panic!("{next:?}: {error}")) {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                let inside = path.strip_prefix(root()).expect("it lies in the project");
                found.push(inside.to_str().expect("a name in UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The documents of the project; what the build leaves behind is not looked at.
pub fn all_documents() -> Vec<String> {
    let folders = ["docs", "packer", "oneflow", "configs", "netns-tests", "crates"];
    let mut all: Vec<String> = folders.iter().flat_map(|folder| documents(folder)).collect();
    all.extend(root().join("README.md").is_file().then(|| "README.md".to_owned()));
    all
}

/// The fenced blocks of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut tag = None;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let text = inside.iter().map(|line| format!("{line}\n")).collect();
            blocks.push(Block { language: language.trim().to_owned(), tag: tag.take(), text });
        } else {
            let comment = line.strip_prefix("<!-- test: ");
            tag = comment.and_then(|rest| rest.strip_suffix(" -->")).map(str::to_owned);
        }
    }
    blocks
}

/// The lines below `heading` (with its `#`s), down to the next heading of its rank or higher.
pub fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let rank = |line: &str| line.chars().take_while(|c| *c == '#').count();
    let mut start = None;
    let mut offset = 0;
    let mut fenced = false;
    for line in document.split_inclusive('\n') {
        fenced ^= line.starts_with("```");
        let is_heading = !fenced && line.starts_with('#');
        match start {
            None if is_heading && line.trim_end() == heading => start = Some(offset + line.len()),
            Some(start) if is_heading && rank(line) <= rank(heading) => {
                return &document[start..offset];
            }
            _ => {}
        }
        offset += line.len();
    }
    &document[start.unwrap_or_else(|| panic!("there is no section {heading:?}"))..]
}

/// The rows of all tables in a text, without their headings, each cell without its backticks.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inside = line.trim().trim_matches('|');
        inside.split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    };
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    let rule = |line: &str| line.starts_with("|---");
    let is_row = |(at, line): &(usize, &&str)| {
        !rule(line) && !lines.get(at + 1).is_some_and(|next| rule(next))
    };
    lines.iter().enumerate().filter(is_row).map(|(_, line)| cells(line)).collect()
}
