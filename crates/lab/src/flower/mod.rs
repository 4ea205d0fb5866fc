//! The real Flower, in each release that is run here, and the numpy app that the scenarios train.
//!
//! Owns a copy of the app per run, what is asked of `flwr`, and the reading of a run's result.
//! Promises that "right" means the digest of plain FedAvg, computed without Flower by the same
//! numpy code. Refuses to call a run good because it completed.

mod place;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

pub use place::FlowerUser;

use crate::namespace::{Namespace, run};
use crate::process::{Process, without_colours};

/// The release of the demo and of most scenarios.
pub const VERSION: &str = "1.25.0";
const RESULT: &str = "FLMINI_RESULT ";
/// What Flower 1.25 says at a SuperNode when its SuperLink has lost a message.
const LOST_MESSAGE: &str = "Both bytes_sent and bytes_recv cannot be zero";

/// What the app printed at its end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Outcome {
    /// Rounds whose evaluation came back.
    pub rounds_done: u32,
    /// Rounds that were asked for.
    pub rounds_asked: u32,
    /// Hash of the weights at six decimals.
    pub digest: String,
    /// Mean loss after each round.
    pub loss: Vec<f64>,
    /// How long the training took.
    pub seconds: f64,
}

/// The same training without Flower.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Hash of the weights at six decimals.
    pub digest: String,
    /// Mean loss at the end.
    pub loss: f64,
}

/// What a run is to do.
#[derive(Debug, Clone, Copy)]
pub struct TrainingPlan {
    /// Rounds of FedAvg.
    pub rounds: u32,
    /// SuperNodes that take part in each.
    pub nodes: u32,
    /// How long each SuperNode holds each training message: keeps a round open for a fault.
    pub train_sleep: Duration,
}

/// The Python environment of one release.
#[derive(Debug, Clone)]
pub struct Flower {
    version: String,
    bin: PathBuf,
    app: PathBuf,
    user: Option<FlowerUser>,
}

impl Flower {
    /// The usual release.
    ///
    /// # Errors
    /// When it is not there.
    pub fn find() -> Result<Self> {
        Self::release(VERSION)
    }

    /// A release's environment that `netns-tests/setup.sh flowers` makes.
    ///
    /// # Errors
    /// When it is not there, or not to be run by who runs Flower here.
    pub fn release(version: &str) -> Result<Self> {
        let user = FlowerUser::here()?;
        let folder = place::environment(version, user.as_ref())?;
        let app = Path::new(env!("CARGO_MANIFEST_DIR")).join("flower/flapp");
        Ok(Self { version: version.to_owned(), bin: folder.join("bin"), app, user })
    }

    /// As whom it runs, the companion's own user if none.
    #[must_use]
    pub const fn user(&self) -> Option<&FlowerUser> {
        self.user.as_ref()
    }

    /// Gives a file, or a folder with all that is in it, to who runs Flower.
    ///
    /// # Errors
    /// When that cannot be.
    pub fn give(&self, path: &Path) -> Result<()> {
        place::give(path, self.user())
    }

    /// Fails where a folder on the way keeps out who runs Flower.
    ///
    /// # Errors
    /// Which one does.
    pub fn reaches(&self, folder: &Path) -> Result<()> {
        place::is_open(folder, self.user())
    }

    /// One of its programs in a VM.
    fn command(&self, at: &Namespace, program: &str) -> Command {
        place::command_as(self.user(), at, self.bin.join(program))
    }

    /// Its default port for `flwr run`: one for all from 1.40 on.
    #[must_use]
    pub fn control_port(&self) -> u16 {
        if self.minor() >= 40 { 8000 } else { 9093 }
    }

    fn minor(&self) -> u32 {
        self.version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
    }

    /// The folder with `flower-superlink`, `flower-supernode`, `flwr` and `python`.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// Plain FedAvg over the partitions 0..nodes.
    ///
    /// # Errors
    /// When Python fails.
    pub fn expected(&self, plan: TrainingPlan) -> Result<Expected> {
        let TrainingPlan { rounds, nodes, .. } = plan;
        let code = format!(
            "from flmini.task import expected; print(*expected({rounds}, 20, 0.1, range({nodes})))"
        );
        let mut python = Command::new(self.bin.join("python"));
        let text = run(python.args(["-c", &code]).env("PYTHONPATH", &self.app))?;
        let (digest, loss) = text.trim().split_once(' ').context("expected() printed one word")?;
        Ok(Expected { digest: digest.to_owned(), loss: loss.parse()? })
    }

    /// Starts `flwr run` in the SuperLink's VM.
    ///
    /// # Errors
    /// When the app cannot be copied or the command not started.
    pub fn submit(&self, place: &Submission<'_>, plan: TrainingPlan) -> Result<TrainingRun> {
        let home = place.folder.join(place.name);
        let app = self.copy_app(&home, place)?;
        let settings: BTreeMap<&str, String> = BTreeMap::from([
            ("num-server-rounds", plan.rounds.to_string()),
            ("min-nodes", plan.nodes.to_string()),
            ("train-sleep-s", format!("{:.1}", plan.train_sleep.as_secs_f64())),
        ]);
        let settings: Vec<String> =
            settings.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut command = self.command(place.namespace, "flwr");
        command
            .arg("run")
            .arg(&app)
            .args(["mesh", "--stream", "--run-config", &settings.join(" ")])
            .current_dir(&app)
            .envs(quiet_environment(&self.bin, &home));
        Ok(TrainingRun { process: Process::spawn(place.name, command, place.folder)? })
    }

    /// The runs that the SuperLink knows, by their IDs, as `flwr list` tells them.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn runs(&self, place: &Submission<'_>) -> Result<Vec<String>> {
        let listed = self.ask(place, &["list"])?;
        let runs = listed["runs"].as_array().with_context(|| format!("no runs in {listed}"))?;
        Ok(runs.iter().map(|run| run["run-id"].to_string().replace('"', "")).collect())
    }

    /// The SuperNodes that the SuperLink knows, with their states, as `flwr supernode list` tells them.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn supernodes(&self, place: &Submission<'_>) -> Result<BTreeMap<String, String>> {
        let listed = self.ask(place, &["supernode", "list"])?;
        let nodes = listed["nodes"].as_array().with_context(|| format!("no nodes in {listed}"))?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Ok(nodes.iter().map(|node| (text(&node["node-id"]), text(&node["status"]))).collect())
    }

    /// Asks the SuperLink with `flwr`, in words that do not name the connection.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn ask(&self, place: &Submission<'_>, words: &[&str]) -> Result<serde_json::Value> {
        let home = place.folder.join(place.name);
        let app = self.copy_app(&home, place)?;
        let mut command = self.command(place.namespace, "flwr");
        command.args(words);
        if self.minor() < 26 {
            command.arg(&app);
        }
        command.args(["mesh", "--format", "json"]).current_dir(&app);
        let text = run(command.envs(quiet_environment(&self.bin, &home)))?;
        let begin = text.find('{').context("flwr printed no JSON")?;
        Ok(serde_json::from_str(text[begin..].trim())?)
    }

    /// A SuperNode that nobody has asked for: its own key, the SuperLink's address and CA.
    #[must_use]
    pub fn stray_supernode(&self, place: &Submission<'_>, key: &Path) -> Command {
        let fleet = if self.minor() >= 40 { 8000 } else { 9092 };
        let mut command = self.command(place.namespace, "flower-supernode");
        command.arg("--superlink").arg(format!("{}:{fleet}", place.address));
        command.arg("--root-certificates").arg(place.ca);
        command.arg("--auth-supernode-private-key").arg(key);
        match self.minor() {
            ..40 => command.args(["--clientappio-api-address", "127.0.0.1:19094"]),
            _ => command.args(["--host", "127.0.0.1", "--port", "19094"]),
        };
        command.envs(quiet_environment(&self.bin, &place.folder.join(place.name)));
        command
    }

    /// A SuperLink without a companion, of Flower 1.40 or later: with these files, and no keys of
    /// SuperNodes.
    #[must_use]
    pub fn bare_superlink(
        &self,
        place: &Submission<'_>,
        certificate: &Path,
        key: &Path,
    ) -> Command {
        let mut command = self.command(place.namespace, "flower-superlink");
        command.args(["--host", &place.address.to_string(), "--port", "8000"]);
        command.arg("--ssl-ca-certfile").arg(place.ca);
        command.arg("--ssl-certfile").arg(certificate).arg("--ssl-keyfile").arg(key);
        command.arg("--disable-runtime-dependency-installation");
        command.envs(quiet_environment(&self.bin, &place.folder.join(place.name)));
        command
    }

    /// A private copy of the app, of who runs it. Flower 1.25 reads the connection from its
    /// pyproject.toml, later ones from FLWR_HOME.
    fn copy_app(&self, home: &Path, place: &Submission<'_>) -> Result<PathBuf> {
        std::fs::create_dir_all(home)?;
        let app = home.join("app");
        run(Command::new("cp").arg("-r").arg(&self.app).arg(&app))?;
        let (file, section) = match self.minor() {
            ..26 => (app.join("pyproject.toml"), "tool.flwr.federations"),
            _ => (home.join(".flwr/config.toml"), "superlink"),
        };
        std::fs::create_dir_all(home.join(".flwr"))?;
        let mut text = std::fs::read_to_string(&file).unwrap_or_default();
        text.push_str(&format!(
            "\n[{section}]\ndefault = \"mesh\"\n\n[{section}.mesh]\n\
             address = \"{}:{}\"\nroot-certificates = \"{}\"\n",
            place.address,
            self.control_port(),
            place.ca.display()
        ));
        std::fs::write(&file, text)?;
        self.give(home)?;
        Ok(app)
    }
}

/// Where a run is submitted.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Name of the run: of its log and its folder.
    pub name: &'a str,
    /// The SuperLink's VM.
    pub namespace: &'a Namespace,
    /// Where the run's files go.
    pub folder: &'a Path,
    /// The SuperLink's address.
    pub address: std::net::Ipv4Addr,
    /// The federation's CA certificate.
    pub ca: &'a Path,
}

/// A `flwr run --stream` under way.
#[derive(Debug)]
pub struct TrainingRun {
    process: Process,
}

impl TrainingRun {
    /// Waits for a text in the streamed log, such as `[ROUND 2/`.
    ///
    /// # Errors
    /// When it does not come in time or the run ends first.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<Duration> {
        self.process.wait_for(text, timeout).map(|(_, took)| took)
    }

    /// The streamed log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn output(&self) -> Result<String> {
        self.process.output()
    }

    /// Waits for the end and reads the result; `node_logs` are those of the SuperNodes' Flower.
    ///
    /// # Errors
    /// After `timeout`, when Flower loses a message, or when the run printed no result.
    pub fn finish(mut self, timeout: Duration, node_logs: &[PathBuf]) -> Result<Outcome> {
        let is_fine = || node_logs.iter().try_for_each(|log| no_message_is_lost(log));
        let (code, output) = self.process.wait_for_end_while(timeout, is_fine)?;
        parse(&output).with_context(|| format!("flwr run ended with {code}:\n{output}"))
    }
}

/// A run whose message is lost waits for ever; to wait with it says less than this.
fn no_message_is_lost(log: &Path) -> Result<()> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    ensure!(
        !text.contains(LOST_MESSAGE),
        "Flower has lost a message, a fault of its own (docs/LIMITS.md) -> run it again; {} has {LOST_MESSAGE:?}",
        log.display()
    );
    Ok(())
}

fn parse(output: &str) -> Result<Outcome> {
    let plain = without_colours(output);
    let (_, rest) = plain.split_once(RESULT).context("no FLMINI_RESULT in the log")?;
    let line = rest.lines().next().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("FLMINI_RESULT is not readable: {line}"))
}

/// No telemetry, no update check, no home of its own: zones have no Internet.
fn quiet_environment(bin: &Path, home: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())),
        ("HOME", home.display().to_string()),
        ("FLWR_HOME", home.join(".flwr").display().to_string()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        // Rich wraps long lines at the width it assumes, which would cut the result in two.
        ("COLUMNS", "4000".to_owned()),
        ("FLWR_TELEMETRY_ENABLED", "0".to_owned()),
        ("FLWR_DISABLE_UPDATE_CHECK", "1".to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_read_from_a_coloured_log() {
        let line = r#"FLMINI_RESULT {"rounds_done": 3, "rounds_asked": 3, "digest": "ab", "loss": [0.5, 0.1], "seconds": 1.5}"#;
        let log = format!("\x1b[32mINFO\x1b[0m :      x\n{line}\nINFO: end\n");
        let outcome = parse(&log).expect("a result");
        assert_eq!((outcome.rounds_done, outcome.digest.as_str()), (3, "ab"));
        assert_eq!(outcome.loss, [0.5, 0.1]);
    }

    #[test]
    fn a_lost_message_ends_the_wait_and_a_log_that_is_not_there_does_not() {
        let log = std::env::temp_dir().join(format!("zonemesh-lab-{}.log", std::process::id()));
        no_message_is_lost(&log).expect("nothing was said");
        std::fs::write(&log, format!("ERROR : {LOST_MESSAGE} for run 7\n")).expect("it is written");
        let lost = no_message_is_lost(&log);
        std::fs::remove_file(&log).expect("it is there");
        assert!(lost.is_err_and(|error| error.to_string().contains("docs/LIMITS.md")));
    }

    #[test]
    fn a_log_without_a_result_is_an_error() {
        assert!(parse("Run finished").is_err());
        assert!(parse("FLMINI_RESULT {\"rounds_done\": ").is_err());
    }
}
