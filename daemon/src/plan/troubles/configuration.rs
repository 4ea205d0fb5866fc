//! What is wrong with the configuration file, beside what is in force.
//!
//! Promises one finding at most: what a start found broken before what a reload has refused before
//! what nobody has asked for yet. Refuses to know how the file is read.

use zonemesh_config::{FileStanding, KeyDifference, TakesEffect};
use zonemesh_core::finding::{Code, Evidence, Finding, Severity, Subject};

/// Keys that are named; the others are counted.
const NAMED: usize = 5;

/// `is_of_before`: the gateway was started with a broken file and runs what was kept.
pub(crate) fn of_configuration(
    file: &str,
    standing: &FileStanding,
    is_of_before: bool,
) -> Option<Finding> {
    let about = |code| Finding::new(code, Subject::Here).with(Evidence::File(file.to_owned()));
    let differs = |what: String| about(Code::ConfigNotInForce).with(Evidence::Found(what));
    let before =
        |reason: &String| about(Code::ConfigOfBefore).with(Evidence::Reason(reason.clone()));
    Some(match standing {
        FileStanding::InForce => return None,
        FileStanding::Broken(reason) | FileStanding::Refused(reason) if is_of_before => {
            before(reason)
        }
        FileStanding::Refused(reason) => {
            about(Code::ReloadRefused).with(Evidence::Reason(reason.clone()))
        }
        FileStanding::Broken(reason) => {
            let found = differs(format!("it is not valid: {reason}"));
            found.fix("correct it; `zonemesh config check` names every mistake")
        }
        FileStanding::Unreadable(reason) => {
            let found = differs(format!("it cannot be read: {reason}"));
            let found = found.severity(Severity::Degraded);
            found.fix("put it back: without it the next start fails")
        }
        FileStanding::Differs(keys) => of_keys(differs(named(keys)), keys),
    })
}

fn named(keys: &[KeyDifference]) -> String {
    let mut names: Vec<_> = keys.iter().take(NAMED).map(ToString::to_string).collect();
    if keys.len() > NAMED {
        names.push(format!("and {} more", keys.len() - NAMED));
    }
    names.join(", ")
}

fn of_keys(found: Finding, keys: &[KeyDifference]) -> Finding {
    match keys.iter().find(|one| one.effect == TakesEffect::OnRestart) {
        None => found,
        Some(fixed) => {
            let key = &fixed.key;
            found.fix(format!("{key} takes `systemctl restart zonemeshd`; a reload refuses it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use zonemesh_config::Config;

    use super::*;

    fn keys(more: &str) -> Vec<KeyDifference> {
        let text = "[zone]\nname = \"berlin\"\nprefixes = [\"10.1.0.0/16\"]\n";
        let config = |text: &str| Config::parse(text, "test").unwrap();
        config(text).difference(&config(&format!("{text}{more}")))
    }

    fn told(standing: &FileStanding, is_of_before: bool) -> Option<(String, Severity)> {
        let found = of_configuration("zm.toml", standing, is_of_before)?;
        Some((found.to_string(), found.severity))
    }

    #[test]
    fn what_is_in_force_is_told_of_only_if_the_file_says_something_else() {
        assert_eq!(told(&FileStanding::InForce, false), None);
        assert_eq!(told(&FileStanding::InForce, true), None, "it was restored");
        let other = FileStanding::Differs(keys("[log]\nlevel = \"debug\"\n"));
        let line = "C116 zm.toml is not what is in force: log.level";
        assert_eq!(told(&other, false), Some((line.to_owned(), Severity::Note)));
    }

    #[test]
    fn a_refused_reload_needs_a_look_and_a_start_with_a_broken_file_is_down() {
        let reason = || "zm.toml:2:1: zone: no".to_owned();
        let refused = FileStanding::Refused(reason());
        let (line, severity) = told(&refused, false).unwrap();
        assert!(line.starts_with("C115 ") && line.contains("zm.toml:2:1"), "{line}");
        assert_eq!(severity, Severity::Degraded);
        for standing in [FileStanding::Broken(reason()), refused] {
            let (line, severity) = told(&standing, true).unwrap();
            assert!(line.starts_with("C117 ") && line.contains("zm.toml:2:1"), "{line}");
            assert_eq!(severity, Severity::Down);
        }
        let (line, severity) = told(&FileStanding::Broken(reason()), false).unwrap();
        assert!(line.starts_with("C116 ") && severity == Severity::Note, "{line}");
        let gone = FileStanding::Unreadable("No such file".to_owned());
        assert_eq!(told(&gone, false).unwrap().1, Severity::Degraded);
    }

    #[test]
    fn a_key_that_takes_a_restart_is_named_with_what_to_type() {
        let found = of_configuration(
            "zm.toml",
            &FileStanding::Differs(keys("[tunnel]\ninterface = \"zm7\"\n")),
            false,
        );
        let fix = found.unwrap().fix.spelled();
        assert!(fix.starts_with("tunnel.interface takes `systemctl restart"), "{fix}");
    }
}
