//! Which programs run in a process group, as /proc has it.
//!
//! Promises to read and nothing else. A process that ends meanwhile is none.

use std::path::Path;

/// True if a process of this group was started as the program `name`, or as its script.
pub(super) fn runs(group: i32, name: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    let paths = processes.filter_map(|entry| Some(entry.ok()?.path()));
    paths.into_iter().any(|process| {
        is_of(group, &process).unwrap_or(false) && is_called(name, &process).unwrap_or(false)
    })
}

/// See proc(5): the group is the third field behind the name, which may hold anything.
fn is_of(group: i32, process: &Path) -> Option<bool> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().nth(2)?.parse() == Ok(group))
}

fn is_called(name: &str, process: &Path) -> Option<bool> {
    let line = std::fs::read(process.join("cmdline")).ok()?;
    let words =
        line.split(|byte| *byte == 0).take(2).filter_map(|word| std::str::from_utf8(word).ok());
    let mut names = words.filter_map(|word| Path::new(word).file_name()?.to_str());
    Some(names.any(|word| word == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_in_its_group_only() {
        let group = nix::unistd::getpgrp().as_raw();
        let own = std::env::current_exe().unwrap();
        let own = own.file_name().unwrap().to_str().unwrap();
        assert!(runs(group, own));
        assert!(!runs(group, "flwr-clientapp"));
        assert!(!runs(i32::MAX, own));
    }
}
