//! QUICKSTART.md, typed on three gateways as it stands there, with the output that it shows.
//!
//! ```text
//!   berlin                      WAN                 madrid              paris
//!   vm 10.10.10.5 - gw     [ router ]     gw - vm 10.10.11.5       gw - vm 10.10.12.5
//! ```
//!
//! The blocks under `<!-- test: … -->` are run by bash in the gateways' namespaces. Only three things
//! differ from a real VM: absolute paths lead into the zone's own folder, `sudo` is a stand-in that
//! runs its command, and `systemctl` is one that starts the program.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use zonemesh_lab::binaries;
use zonemesh_lab::lab::{Lab, LabZone, ZonePlan};
use zonemesh_lab::mesh::patience;
use zonemesh_lab::namespace::{Namespace, run};
use zonemesh_lab::wait::{Look, until};

use netns_tests::markdown::{Block, blocks, read, rows, section};

const ZONES: [ZonePlan<'_>; 3] = [
    ZonePlan { name: "berlin", vms: &["vm"] },
    ZonePlan { name: "madrid", vms: &["vm"] },
    ZonePlan { name: "paris", vms: &["vm"] },
];
/// `systemctl enable --now zonemeshd`, `systemctl restart zonemeshd`. Waits for the socket, which a
/// person who types the next line does without noticing.
const SYSTEMCTL: &str = r#"#!/bin/bash
set -eu
[ "${!#}" = zonemeshd ]
if [ -f pid ]; then kill "$(cat pid)"; while kill -0 "$(cat pid)"; do sleep 0.1; done 2>/dev/null; fi
setsid zonemeshd run --config "$ROOT/etc/zonemesh/zonemesh.toml" >>"$LOG" 2>&1 </dev/null &
echo $! >pid
for _ in $(seq 100); do zonemesh peers >/dev/null 2>&1 && exit 0; sleep 0.1; done
echo "zonemeshd does not answer" >&2
exit 1
"#;

/// One gateway as its engineer sees it.
struct Desk<'l> {
    zone: &'l LabZone,
    /// Its `/`: `/etc/zonemesh`, `/var/lib/zonemesh` and `/run/zonemesh` lie below.
    root: PathBuf,
    log: PathBuf,
    /// The row of the document's table for each variable.
    variables: Vec<(String, String)>,
}

impl<'l> Desk<'l> {
    fn new(lab: &'l Lab, zone: &'l LabZone, column: usize) -> Result<Self> {
        let root = lab.folder().join(&zone.name);
        // As the package makes them.
        for folder in ["stand-ins", "peers", "etc/zonemesh", "var/lib/zonemesh", "run/zonemesh"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        let sudo = "#!/bin/sh\nexec \"$@\"\n";
        for (name, script) in [("sudo", sudo), ("systemctl", SYSTEMCTL)] {
            let file = root.join("stand-ins").join(name);
            std::fs::write(&file, script)?;
            run(Command::new("chmod").arg("+x").arg(file))?;
        }
        let table = rows(section(&read("docs/QUICKSTART.md"), "## The example"));
        let variable = |row: &Vec<String>| {
            let name = row[0].split_whitespace().next().unwrap_or_default();
            (name.to_owned(), row[column].clone())
        };
        let variables = table.iter().map(variable).collect();
        let log = lab.folder().join(format!("{}-zonemeshd.log", zone.name));
        Ok(Self { zone, root, log, variables })
    }

    fn type_in(&self, block: &Block) -> Result<String> {
        self.type_at(&self.zone.gateway, block)
    }

    fn type_at(&self, place: &Namespace, block: &Block) -> Result<String> {
        let programs = binaries::find("zonemesh")?;
        let programs = programs.parent().context("a binary lies in a folder")?;
        let stand_ins = self.root.join("stand-ins");
        let path = std::env::var("PATH")?;
        let mut command = place.command("bash");
        command
            .args(["-euo", "pipefail", "-c", &self.own_paths(&block.text)])
            .current_dir(&self.root)
            .env("PATH", format!("{}:{}:{path}", stand_ins.display(), programs.display()))
            .env("ROOT", &self.root)
            .env("LOG", &self.log)
            .env("ZONEMESH_SOCKET", self.root.join("run/zonemesh/admin.sock"))
            .envs(self.variables.iter().cloned());
        let output =
            run(&mut command).with_context(|| format!("in {}: {}", self.zone.name, block.text))?;
        Ok(self.as_on_a_machine(&output))
    }

    /// What was printed, without this zone's folder; a line that was broken as its path is longer here
    /// is one again.
    fn as_on_a_machine(&self, output: &str) -> String {
        let root = self.root.display().to_string();
        let (mut lines, mut was_longer) = (Vec::<String>::new(), false);
        for line in output.lines() {
            match lines.last_mut().filter(|_| was_longer && line.starts_with("  ")) {
                Some(last) => *last = format!("{last} {}", line.trim_start()),
                None => {
                    was_longer = line.contains(&root);
                    lines.push(line.replace(&root, ""));
                }
            }
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// The script with this zone's folder before each path of a gateway, also in the configuration.
    fn own_paths(&self, script: &str) -> String {
        let root = self.root.display();
        let moved = ["/etc/zonemesh", "/var/lib/zonemesh"]
            .iter()
            .fold(script.to_owned(), |text, path| text.replace(path, &format!("{root}{path}")));
        moved.replace("[gateway]\n", &format!("[gateway]\n{}", own_settings(&self.root)))
    }

    fn configuration(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.root.join("etc/zonemesh/zonemesh.toml"))?;
        Ok(text.replace(&own_settings(&self.root), ""))
    }
}

fn own_settings(root: &Path) -> String {
    let root = root.display();
    format!(
        "state_dir = \"{root}/var/lib/zonemesh\"\nadmin_socket = \"{root}/run/zonemesh/admin.sock\"\n"
    )
}

/// The blocks of the document, in order; each `text` block is the output of the block before it.
fn steps() -> Vec<(Block, Option<Block>)> {
    let all = blocks(&read("docs/QUICKSTART.md"));
    let output = |at: usize| all.get(at + 1).filter(|next| next.language == "text").cloned();
    let tagged = all.iter().enumerate().filter(|(_, block)| block.tag.is_some());
    tagged.map(|(at, block)| (block.clone(), output(at))).collect()
}

/// A line as its shape: what differs from run to run becomes `#`.
fn shape(text: &str) -> Vec<String> {
    let changes = |word: &str| {
        let units = ["B", "KiB", "MiB"];
        word.len() > 40 || units.contains(&word) || word.parse::<f64>().is_ok()
    };
    let measured = |word: &str| {
        let number = |unit| word.strip_suffix(unit).is_some_and(|text| text.parse::<f64>().is_ok());
        ["s", "ms", "%"].into_iter().any(number)
    };
    let hash = |word: &str| word.len() == 9 && word.ends_with(',');
    let line = |line: &str| {
        let words = line
            .split_whitespace()
            .map(|word| if changes(word) || measured(word) || hash(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect()
}

/// The public keys in `text` replaced by their kind, so that two files can be compared.
fn without_keys(text: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some((name @ ("wireguard_key" | "zone_key"), _)) => format!("{name}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// Every gateway's block for the others lies in its folder: brings it to the others' `peers`.
fn exchange(desks: &[Desk<'_>]) -> Result<()> {
    for from in desks {
        let name = format!("peer-{}.toml", from.zone.name);
        for to in desks.iter().filter(|to| to.zone.name != from.zone.name) {
            std::fs::copy(from.root.join(&name), to.root.join("peers").join(&name))?;
        }
    }
    Ok(())
}

/// Types one block where its tag says, and compares what is printed in berlin.
fn step(desks: &[Desk<'_>], block: &Block, expected: Option<&Block>) -> Result<()> {
    let berlin = desks.first().context("berlin is the first zone")?;
    let expected = expected.map(|block| shape(&block.text));
    match block.tag.as_deref() {
        Some("each gateway") => {
            for desk in desks {
                let printed = desk.type_in(block)?;
                let berlins = desk.zone.name == berlin.zone.name;
                if let Some(expected) = expected.as_ref().filter(|_| berlins) {
                    ensure!(shape(&printed) == *expected, "{printed}\nis not {expected:#?}");
                }
            }
        }
        // Typed once if it changes something, until the tunnels are up if it only looks.
        Some("berlin") if block.text.contains("tee") => {
            let printed = berlin.type_in(block)?;
            ensure!(Some(shape(&printed)) == expected, "{printed}\nis not {expected:#?}");
        }
        Some("berlin") => {
            until("the output that the document shows", patience(), || {
                let printed = berlin.type_in(block).unwrap_or_else(|error| format!("{error:#}"));
                Ok(Look::<()>::when(Some(shape(&printed)) == expected, printed))
            })?;
        }
        Some("VM of berlin") => {
            berlin.type_at(&berlin.zone.vm("vm")?.namespace, block)?;
        }
        Some("configuration of berlin") => {
            let (written, shown) =
                (without_keys(&berlin.configuration()?), without_keys(&block.text));
            ensure!(
                written == shown,
                "berlin's file is\n{written}\nand the document shows\n{shown}"
            );
        }
        Some(tag) if tag.starts_with("context of ") => {}
        other => anyhow::bail!("a block has the unknown tag {other:?}"),
    }
    Ok(())
}

#[test]
fn three_gateways_typed_from_the_quick_start_are_all_connected() -> Result<()> {
    let mut lab = Lab::new(&ZONES)?;
    let desks: Vec<Desk<'_>> = lab
        .zones()
        .iter()
        .zip(1..)
        .map(|(zone, column)| Desk::new(&lab, zone, column))
        .collect::<Result<_>>()?;
    let mut typed = 0;
    for (block, expected) in steps() {
        step(&desks, &block, expected.as_ref())?;
        typed += 1;
        if block.text.contains("peer-$ZONE.toml") {
            exchange(&desks)?;
        }
    }
    ensure!(typed >= 8, "only {typed} blocks of the document were typed");
    for desk in &desks {
        all_up(desk)?;
    }
    files_are_documented(desks.first().context("berlin")?)?;
    drop(desks);
    lab.succeeded()
}

/// `zonemesh status` reports all peers up, also after berlin's restart.
fn all_up(desk: &Desk<'_>) -> Result<()> {
    let ask = Block { language: "sh".into(), tag: None, text: "zonemesh status -o json\n".into() };
    until(&format!("all peers of {}", desk.zone.name), patience(), || {
        let status = match desk.type_in(&ask) {
            Ok(status) => status,
            Err(error) => return Ok(Look::Not(format!("{error:#}"))),
        };
        let status: serde_json::Value = serde_json::from_str(&status)?;
        let peers = status["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let up = peers.iter().all(|peer| peer["state"] == "up" && peer["stream"] == "up");
        let well = up && peers.len() == 2 && status["state"] == "ok";
        Ok(Look::<()>::when(well, status))
    })?;
    Ok(())
}

/// What lies in the state folder stands in REFERENCE.md.
fn files_are_documented(desk: &Desk<'_>) -> Result<()> {
    let known: Vec<String> = rows(section(&read("docs/REFERENCE.md"), "## State of a gateway"))
        .iter()
        .map(|row| row[0].replace("<federation>", "health-eu"))
        .collect();
    let state = desk.root.join("var/lib/zonemesh");
    let listed = run(Command::new("find").arg(&state).args(["-type", "f", "-printf", "%P %m\n"]))?;
    ensure!(listed.lines().count() >= 7, "too few files in the state folder:\n{listed}");
    for line in listed.lines() {
        let (file, mode) = line.split_once(' ').context("find prints name and mode")?;
        let gateway = file.strip_prefix("records/").and_then(|name| name.strip_suffix(".record"));
        let name = gateway.map_or(file, |_| "records/<zone>@<gateway>.record");
        ensure!(known.iter().any(|known| known == name), "{file} is not in REFERENCE.md");
        // What nobody edits is not even for its owner to write.
        let wanted = if file == "in-force.toml" { "400" } else { "600" };
        ensure!(mode == wanted, "{file} has mode {mode}");
    }
    Ok(())
}

#[test]
fn shapes_keep_words_and_lose_what_changes() {
    let line = "madrid  up  203.0.113.1:51820  0.5ms  0.0%  4s ago  6.2 KiB  up  10.10.11.0/24";
    assert_eq!(shape(line), ["madrid up 203.0.113.1:51820 # # # ago # # up 10.10.11.0/24"]);
    let long = format!("key {}", "a".repeat(44));
    assert_eq!(shape(&long), ["key #"]);
}
