//! What a gateway finds, as its users are told: in `zonemesh status` and by its exit code.
//!
//! Promises to wait for what is asked, and to say what was found instead. Refuses to know what ought
//! to be found.

use std::io::ErrorKind;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use zonemesh_lab::gateway::LabGateway;
use zonemesh_lab::wait::{Look, until};

/// Waits until status tells `code` with all of `words`; then a line with `!` and exit code 1 go with
/// it.
///
/// # Errors
/// When it does not within that time, with what it told instead.
pub fn told(gateway: &LabGateway, code: &str, words: &[&str], within: Duration) -> Result<()> {
    until(&format!("status to tell {code} with {words:?}"), within, || {
        let status = gateway.ask(&["status"])?;
        let is_told = tells(&status, code, words)? && status["state"] != "ok";
        Ok(Look::<()>::when(is_told, &status["findings"]))
    })?;
    let (exit, text) = status(gateway)?;
    ensure!(exit == Some(1), "exit {exit:?} beside {code}:\n{text}");
    ensure!(text.contains(&format!("! {code}")), "no line of {code}:\n{text}");
    Ok(())
}

/// Waits until status does not tell `code` any more.
///
/// # Errors
/// When it still does after that time.
pub fn over(gateway: &LabGateway, code: &str, within: Duration) -> Result<()> {
    until(&format!("{code} to be over"), within, || {
        let status = gateway.ask(&["status"])?;
        Ok(Look::<()>::when(!tells(&status, code, &[])?, &status["findings"]))
    })?;
    Ok(())
}

/// Exit code and text of `zonemesh status`.
///
/// # Errors
/// When it cannot be started.
pub fn status(gateway: &LabGateway) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(gateway.program("zonemesh")?);
    let shown = command.arg("--socket").arg(gateway.socket()).arg("status").output()?;
    Ok((shown.status.code(), String::from_utf8_lossy(&shown.stdout).into_owned()))
}

/// True if a status in JSON tells `code` with all of `words`.
///
/// # Errors
/// When it has no list of findings.
pub fn tells(status: &Value, code: &str, words: &[&str]) -> Result<bool> {
    let findings = status["findings"].as_array().context("no findings in the status")?;
    Ok(findings.iter().any(|finding| {
        let text = finding.to_string();
        finding["code"] == code && words.iter().all(|word| text.contains(word))
    }))
}

/// The lines of the gateway's journal that say these codes came; none while nothing has.
///
/// # Errors
/// When the file cannot be read.
pub fn came(gateway: &LabGateway, codes: &[&str]) -> Result<Vec<String>> {
    let events = std::fs::read_to_string(gateway.folder().join("state").join("events"));
    let events = match events {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        events => events?,
    };
    let is_alarm = |line: &&str| line.contains("raised") && !line.contains("\tnote\t");
    let is_one = |line: &&str| is_alarm(line) && codes.iter().any(|one| line.contains(one));
    Ok(events.lines().filter(is_one).map(str::to_owned).collect())
}
