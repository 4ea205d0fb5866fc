//! How much of the machine a scenario takes: `.config/nextest.toml` against the scenarios.
//!
//! It promises that each name there is one of a scenario, and that a scenario in which Flower works has
//! the room of a federation. It refuses to know how long they take.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What stands in a scenario that waits for a SuperLink to serve.
const FLOWER_WORKS: [&str; 3] =
    ["LabFederation::start(", "federation.wait_until_ready()", ".wait_for_superlink("];
/// In sixths of a machine.
const OF_A_FEDERATION: i64 = 3;

/// A file of scenarios: `companions/local_api.rs`.
struct ScenarioFile {
    folder: String,
    name: String,
    text: String,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).expect("a folder of scenarios can be read");
    found.map(|entry| entry.expect("it can be listed").path()).collect()
}

fn scenarios() -> Vec<ScenarioFile> {
    let stem = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let folders = entries(&workspace().join("netns-tests/tests/scenarios"));
    let mut found = Vec::new();
    for folder in folders.iter().filter(|path| path.is_dir()) {
        for file in entries(folder) {
            let text = std::fs::read_to_string(&file).expect("a scenario can be read");
            found.push(ScenarioFile { folder: stem(folder), name: stem(&file), text });
        }
    }
    found
}

/// The words of an override's filter, with the room that it gives.
fn overrides() -> Vec<(BTreeSet<String>, Option<Value>)> {
    let text = std::fs::read_to_string(workspace().join(".config/nextest.toml"));
    let config: Table = text.expect("it can be read").parse().expect("it is TOML");
    let all = config["profile"]["scenarios"]["overrides"].as_array().expect("a list").clone();
    let words = |filter: &str| {
        let parts = filter.split(|c: char| !c.is_alphanumeric() && c != '_');
        parts.filter(|word| !word.is_empty() && *word != "test").map(str::to_owned).collect()
    };
    let read = |one: &Value| {
        (words(one["filter"].as_str().expect("a text")), one.get("threads-required").cloned())
    };
    all.iter().map(read).collect()
}

#[test]
fn each_name_in_the_runners_filters_is_one_of_a_scenario() {
    let scenarios = scenarios();
    let known: BTreeSet<&str> =
        scenarios.iter().flat_map(|file| [file.folder.as_str(), file.name.as_str()]).collect();
    for (words, _) in overrides() {
        let unknown: Vec<_> = words.iter().filter(|word| !known.contains(word.as_str())).collect();
        assert!(unknown.is_empty(), ".config/nextest.toml names no scenario: {unknown:?}");
    }
}

#[test]
fn a_scenario_in_which_flower_works_has_the_room_of_a_federation() {
    let overrides = overrides();
    for ScenarioFile { folder, name, text } in scenarios() {
        if !FLOWER_WORKS.iter().any(|words| text.contains(words)) {
            continue;
        }
        // The first that says so counts.
        let named = overrides.iter().find(|(words, room)| {
            room.is_some()
                && (words.is_empty() || (words.contains(&folder) && words.contains(&name)))
        });
        let room = named.and_then(|(_, room)| room.clone());
        let enough = match room {
            Some(Value::Integer(sixths)) => sixths >= OF_A_FEDERATION,
            Some(Value::String(all)) => all == "num-test-threads",
            _ => false,
        };
        assert!(
            enough,
            "{folder}::{name} runs Flower: give it threads-required = 3 in .config/nextest.toml"
        );
    }
}
