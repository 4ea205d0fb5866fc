//! All that belongs to a supervised program, as /proc has it: its process group, and whatever
//! descends from that.
//!
//! A group alone is not enough: Flower 1.42 gives its SuperExec, and with it every app, a session of
//! its own. It promises to signal nothing but these processes. One that ends meanwhile is none.
//! Specification: proc(5).

use std::collections::BTreeSet;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

struct FamilyMember {
    id: i32,
    parent: i32,
    group: i32,
    is_zombie: bool,
}

/// True if a process of this family was started as the program `name`, or as its script.
pub(super) fn runs(group: i32, name: &str) -> bool {
    members(group).into_iter().any(|id| is_called(name, id).unwrap_or(false))
}

/// Kills all of the family at once.
pub(super) fn kill_all(group: i32) {
    kill_each(members(group));
}

/// Kills all that descend from this process.
pub(super) fn kill_descendants() {
    let here = Pid::this().as_raw();
    let mut found = below(&all(), BTreeSet::from([here]));
    found.remove(&here);
    kill_each(found);
}

fn kill_each(ids: BTreeSet<i32>) {
    for id in ids {
        // No such process means that it is gone, which is what is wanted.
        let _ = kill(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// Takes the exit status of dead children that this process did not start itself: whose parents ended
/// before them, so that nobody else will. `own` is the one that it started.
pub(super) fn bury_orphans(own: Option<i32>) {
    let here = Pid::this().as_raw();
    let dead = all().into_iter().filter(|process| process.parent == here && process.is_zombie);
    for orphan in dead.filter(|process| Some(process.id) != own) {
        let _ = waitpid(Pid::from_raw(orphan.id), Some(WaitPidFlag::WNOHANG));
    }
}

fn members(group: i32) -> BTreeSet<i32> {
    let processes = all();
    let of_group = processes.iter().filter(|process| process.group == group);
    below(&processes, of_group.map(|process| process.id).collect())
}

/// These and all that descend from them.
fn below(processes: &[FamilyMember], mut family: BTreeSet<i32>) -> BTreeSet<i32> {
    loop {
        let born = processes.iter().filter(|process| family.contains(&process.parent));
        let born: Vec<i32> = born.map(|process| process.id).collect();
        let before = family.len();
        family.extend(born);
        if family.len() == before {
            return family;
        }
    }
}

fn all() -> Vec<FamilyMember> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| read(name.parse().ok()?)).collect()
}

/// State, parent and group are the first three fields behind the name, which may hold anything.
fn read(id: i32) -> Option<FamilyMember> {
    let stat = std::fs::read_to_string(folder(id).join("stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let is_zombie = fields.next()? == "Z";
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(FamilyMember { id, parent, group, is_zombie })
}

fn is_called(name: &str, id: i32) -> Option<bool> {
    let line = std::fs::read(folder(id).join("cmdline")).ok()?;
    let words =
        line.split(|byte| *byte == 0).take(2).filter_map(|word| std::str::from_utf8(word).ok());
    let mut names = words.filter_map(|word| std::path::Path::new(word).file_name()?.to_str());
    Some(names.any(|word| word == name))
}

fn folder(id: i32) -> PathBuf {
    PathBuf::from("/proc").join(id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_name_in_its_family_only() {
        let group = nix::unistd::getpgrp().as_raw();
        let own = std::env::current_exe().unwrap();
        let own = own.file_name().unwrap().to_str().unwrap();
        assert!(runs(group, own));
        assert!(!runs(group, "flwr-clientapp"));
        assert!(!runs(i32::MAX, own));
    }
}
