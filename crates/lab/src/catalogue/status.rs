//! What `zonemesh status` tells of one gateway, as JSON and as the lines that people read.
//!
//! Refuses to know which fault there is.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::FaultTold;
use crate::gateway::LabGateway;

/// Words of libraries, which say nothing to who reads them.
const RAW: [&str; 8] =
    ["tonic", "hyper", "rustls", "webpki", "UnknownIssuer", "transport error", "h2 ", "Status {"];
/// Columns of a terminal that nobody has widened.
const COLUMNS: usize = 80;

/// An answer of `zonemesh status -o json`, or its failure.
pub(super) struct ToldStatus {
    pub(super) exit: i32,
    said: Value,
}

impl ToldStatus {
    /// What a gateway tells; also that it does not answer.
    pub(super) fn of(gateway: &LabGateway) -> Result<Self> {
        let output = status(gateway, &["-o", "json"])?;
        let exit = output.status.code().context("zonemesh status was killed")?;
        Ok(Self { exit, said: serde_json::from_slice(&output.stdout)? })
    }

    fn all(&self) -> impl Iterator<Item = &Value> {
        self.said["findings"].as_array().into_iter().flatten()
    }

    /// Somebody should look at these: notes need nobody.
    fn alarming(&self) -> impl Iterator<Item = &Value> {
        self.all().filter(|one| one["severity"] != "note")
    }

    pub(super) fn tells(&self, told: &FaultTold) -> bool {
        let is_it = |one: &Value| {
            one["code"] == told.code
                && one.to_string().contains(told.words)
                && one["fix"].as_str().is_some_and(|fix| fix.contains(told.advice))
        };
        self.exit == told.exit && (told.code.is_empty() || self.all().any(is_it))
    }

    /// One root cause must not be told as several.
    pub(super) fn alarms_only(&self, codes: &[&str]) -> bool {
        self.alarming().all(|one| codes.iter().any(|code| one["code"] == *code))
    }

    pub(super) fn complains(&self) -> bool {
        self.alarming().next().is_some()
    }

    pub(super) fn findings(&self) -> String {
        let told = |one: &Value| {
            let [code, severity, sentence, fix] =
                ["code", "severity", "sentence", "fix"].map(|key| &one[key]);
            format!("{code} {severity} {sentence} -> {fix}")
        };
        self.all().map(told).collect::<Vec<_>>().join("; ")
    }

    /// True if probes have been answered on each path: one that nobody has measured yet is judged by its
    /// handshakes, which takes minutes.
    pub(super) fn is_measured(&self) -> bool {
        let mut peers = self.said["peers"].as_array().into_iter().flatten();
        peers.all(|peer| peer["rtt_ms"].is_number())
    }

    /// The fact `key` of the tunnel to a zone.
    pub(super) fn of_peer(&self, zone: &str, key: &str) -> Value {
        let mut peers = self.said["peers"].as_array().into_iter().flatten();
        peers.find(|peer| peer["zone"] == zone).map_or(Value::Null, |peer| peer[key].clone())
    }

    /// The companion of this role, if the gateway hears of it.
    pub(super) fn companion(&self, role: &str) -> Option<&Value> {
        let mut all = self.said["companions"].as_array().into_iter().flatten();
        all.find(|one| one["role"] == role && one["connected"] == true)
    }

    /// Whether a federation has a SuperLink that is ready.
    pub(super) fn has_superlink(&self) -> bool {
        let mut all = self.said["superlinks"].as_array().into_iter().flatten();
        all.any(|one| one["readiness"] == "ready")
    }
}

/// Holds what people see against what they can read.
pub(super) fn reads_well(gateway: &LabGateway, codes: &[&str]) -> Result<()> {
    let output = status(gateway, &[])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for code in codes.iter().filter(|_| output.status.code() == Some(1)) {
        ensure!(text.contains(&format!("! {code} ")), "no line of {code}:\n{text}");
    }
    // What stands above the findings has lines of its own, for keys.
    let of_findings = text.lines().filter(|line| line.starts_with("! ") || line.starts_with("  "));
    let is_wide = |line: &&str| line.chars().count() > COLUMNS && line.trim().contains(' ');
    let wide = { of_findings }.find(is_wide);
    ensure!(wide.is_none(), "a line of more than {COLUMNS} columns:\n{text}");
    let raw = RAW.iter().find(|word| text.contains(**word));
    ensure!(raw.is_none(), "{raw:?} is a library's word:\n{text}");
    Ok(())
}

fn status(gateway: &LabGateway, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(gateway.program("zonemesh")?);
    command.arg("--socket").arg(gateway.socket()).arg("status").args(more);
    Ok(command.stdin(Stdio::null()).output()?)
}
