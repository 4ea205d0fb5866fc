//! The first and the last steps of a companion's process: logging, the context, the stop signal.
//!
//! It promises logs on standard error only (standard output is for answers) and one exit code per
//! kind of failure, the same in all of Zonemesh's programs. It refuses to know the settings.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zonemesh_core::exit::{Exit, is_denied};
use zonemesh_core::token::VmRole;
use zonemesh_core::visible::{brief_lines, quoted, visible_json, visible_lines};

use crate::files::FileError;
use crate::log_writer::LogWriter;
use crate::reason::Reason;
use crate::settings::log_wish::{self, LogWish};
use crate::settings::onegate_lack;
use zonemesh_context::names::{is_ours, outdated, strangers};
use zonemesh_context::source::context::{ContextError, ContextFile, PassedOver};
use zonemesh_context::source::{Environment, SettingsSource};
use zonemesh_context::{Appliance, Image, SettingsErrors, Variables};

/// How `plan` ends for a reason that keeps Flower from starting: refused, or not yet.
#[must_use]
pub const fn verdict(reason: &Reason) -> Exit {
    if reason.is_refusal() { Exit::Policy } else { Exit::NotYet }
}

/// Writes logs to standard error: `ZONEMESH_LOG`, else CONTEXT (else `info`) says how much,
/// `ZONEMESH_LOG_FORMAT=json`, else CONTEXT, in which form.
fn logging(wish: LogWish) -> anyhow::Result<()> {
    let wanted = std::env::var("ZONEMESH_LOG")
        .unwrap_or_else(|_unset| wish.filter.unwrap_or("info").to_owned());
    let filter = EnvFilter::try_new(&wanted)
        .map_err(|error| anyhow::anyhow!("ZONEMESH_LOG={}: {error}", quoted(&wanted)))?;
    let is_json = std::env::var("ZONEMESH_LOG_FORMAT").map_or(wish.json, |format| format == "json");
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    let builder = builder.with_writer(LogWriter { is_json });
    let started =
        if is_json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

/// Makes ring the process's crypto provider: reqwest takes the default one.
pub fn crypto() {
    // An error says that a provider was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Where a program's settings may stand: its environment, and the context if it was given one.
pub struct SettingsPlaces {
    environment: Environment<fn(&str) -> Option<String>>,
    context: Option<ContextFile>,
}

impl SettingsPlaces {
    fn open(file: Option<&Path>) -> Result<Self, ContextError> {
        let context = file.map(ContextFile::read).transpose()?;
        Ok(Self { environment: Environment(|key| std::env::var(key).ok()), context })
    }

    /// Warns of what is not taken of the context.
    fn say_what_is_passed_over(&self) -> Result<(), ContextError> {
        if let Some(context) = &self.context {
            for PassedOver { line, problem } in context.passed_over(is_ours)? {
                tracing::warn!("{}:{line} is passed over: {problem}", context.file().display());
            }
        }
        Ok(())
    }

    /// The names of all that has a value there.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let context = self.context.iter().flat_map(ContextFile::keys).map(str::to_owned);
        let has_value =
            |name: &String| self.find(name).is_some_and(|value| !value.trim().is_empty());
        environment.chain(context).filter(has_value).collect()
    }

    /// The value of any variable, the environment's first.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<String> {
        let in_context = || self.context.as_ref().and_then(|context| context.find(name));
        let found = self.environment.find(name).or_else(in_context)?;
        Some(found.value.to_string())
    }

    /// The environment first.
    #[must_use]
    pub fn variables(&self) -> Variables<'_> {
        let context = self.context.as_ref().map(|context| context as &dyn SettingsSource);
        let environment: &dyn SettingsSource = &self.environment;
        Variables::new(std::iter::once(environment).chain(context).collect())
    }
}

/// What comes before everything else: where settings stand, logging, the crypto provider. What is not
/// taken of the context is warned of.
///
/// # Errors
/// The context file cannot be read, a line of it that matters is malformed, or logging cannot start.
pub fn begin(file: Option<&Path>) -> anyhow::Result<SettingsPlaces> {
    let places = SettingsPlaces::open(file)?;
    logging(log_wish::read(&places.variables()))?;
    crypto();
    places.say_what_is_passed_over()?;
    Ok(places)
}

/// What comes before everything else, then the settings by `read`. Names of ours that do nothing in
/// a VM of this role, and a OneGate that cannot be told anything, are warned of.
///
/// # Errors
/// Logging cannot start, the context cannot be used, or a setting is wrong.
pub fn settings<S>(
    file: Option<&Path>,
    role: VmRole,
    read: impl FnOnce(Variables<'_>) -> Result<S, SettingsErrors>,
) -> anyhow::Result<S> {
    let places = begin(file)?;
    say_of_names(&places.names(), role.into());
    let variables = places.variables();
    if let Some(lack) = onegate_lack(&variables) {
        tracing::warn!("{lack}");
    }
    Ok(read(variables)?)
}

/// Warns of names of ours that do nothing in the VM of this appliance, and says which of those that do
/// something have another name that is preferred.
pub fn say_of_names(names: &BTreeSet<String>, appliance: Appliance) {
    let image = Image::of_vm(appliance, names.iter().map(String::as_str));
    for stranger in strangers(names.iter().map(String::as_str), image) {
        tracing::warn!("{stranger}");
    }
    for outdated in outdated(names.iter().map(String::as_str), appliance) {
        tracing::info!("{outdated}");
    }
}

/// What a companion shows of itself, as JSON for people and scripts: nothing in it steers a terminal.
///
/// # Errors
/// It has a shape that JSON cannot have.
pub fn json(shown: &impl serde::Serialize) -> serde_json::Result<String> {
    Ok(visible_json(&serde_json::to_string_pretty(shown)?).into_owned())
}

/// Prints one line, the answer of a command.
///
/// # Errors
/// Standard output is closed.
pub fn print(text: &str) -> anyhow::Result<Exit> {
    use std::io::Write;

    writeln!(std::io::stdout(), "{}", visible_lines(text))
        .context("cannot write to standard output")?;
    Ok(Exit::Ok)
}

/// Ends when the process is told to stop (SIGTERM or SIGINT).
///
/// # Errors
/// The signals cannot be received.
pub async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The exit code of a failure: a reason's own; a missing permission 6; settings, context, user and
/// state folder 7, else 1.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> Exit {
    let settings =
        error.is::<SettingsErrors>() || error.is::<ContextError>() || error.is::<FileError>();
    match error.downcast_ref::<Reason>() {
        Some(reason) => verdict(reason),
        None if is_denied(error.as_ref()) => Exit::Policy,
        None if settings => Exit::Configuration,
        None => Exit::Negative,
    }
}

/// Runs a companion on a small runtime: it has little to do.
///
/// # Errors
/// The future's own, or no runtime.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(future)
}

/// Says once what went wrong, and gives the exit code.
#[must_use]
pub fn finish(ended: anyhow::Result<Exit>) -> ExitCode {
    use std::io::Write;

    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{}", brief_lines(&format!("{error:#}")));
            if is_denied(error.as_ref()) {
                let _ = writeln!(std::io::stderr(), "next: the same with sudo");
            }
            exit_code(&error).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_context_that_this_user_may_not_read_is_6_and_no_image_is_suspected() {
        for (kind, exit, suspects) in [
            (io::ErrorKind::PermissionDenied, Exit::Policy, false),
            (io::ErrorKind::NotFound, Exit::Configuration, true),
        ] {
            let unreadable =
                ContextError::Unreadable { file: "/x".into(), source: io::Error::from(kind) };
            assert_eq!(unreadable.to_string().contains("mounted"), suspects, "{kind}");
            assert_eq!(exit_code(&anyhow::Error::from(unreadable)), exit, "{kind}");
        }
    }
}
