//! The Flower that is installed on this machine.
//!
//! It promises a version that a program of the configured folder has told, with everything that may
//! be wrong with that folder put into words. It refuses to install anything.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::files::FileOwner;
use crate::flower::{FlowerHome, FlowerVersion, InstalledFlower, VERSION_PROGRAM, generation_of};
use crate::reason::Reason;
use crate::runner::as_user;

/// Python starts slowly on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What `flwr --version` does itself (its `supercore/version.py`), in its words.
const FROM_METADATA: &str =
    "from importlib.metadata import version; print('Flower version:', version('flwr'))";

/// Asks Flower's Python, or else `flwr --version`, and finds out how that version is run.
///
/// # Errors
/// The programs are missing or fail, the version is not `wanted`, or it is not supported.
pub async fn installed_flower(
    home: &FlowerHome,
    owner: Option<FileOwner>,
    wanted: Option<FlowerVersion>,
) -> Result<InstalledFlower, Reason> {
    // The same number as `flwr --version`, without the seconds that the whole of flwr takes to load.
    let quick = ask(&home.programs.join("python"), &["-c", FROM_METADATA], home, owner).await;
    let version = match quick {
        Ok(version) => version,
        Err(_no_such_python) => {
            ask(&home.programs.join(VERSION_PROGRAM), &["--version"], home, owner).await?
        }
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != version) {
        let problem = format!(
            "Flower {version} is in {}, and ONEAPP_FLOWER_VERSION={wanted}",
            home.programs.display()
        );
        return Err(Reason::FlowerPrograms { problem });
    }
    match generation_of(version) {
        Some(generation) => Ok(InstalledFlower { version, generation }),
        None => Err(Reason::FlowerUnsupported { version }),
    }
}

async fn ask(
    program: &Path,
    arguments: &[&str],
    home: &FlowerHome,
    owner: Option<FileOwner>,
) -> Result<FlowerVersion, Reason> {
    let asked = format!("{} {}", program.display(), arguments.join(" "));
    let wrong = |what: String| Reason::FlowerPrograms { problem: format!("{asked} {what}") };
    let command = as_user::command(program.as_os_str(), owner);
    let mut command = match command.map(tokio::process::Command::from) {
        Ok(command) => command,
        Err(error) => return Err(wrong(format!("cannot be run: {error}"))),
    };
    command.args(arguments).env_clear().envs(home.environment());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(TIMEOUT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(wrong(format!("cannot be run: {error}"))),
        Err(_elapsed) => {
            let problem = format!("{asked} took longer than {} s", TIMEOUT.as_secs());
            return Err(Reason::FlowerSilent { problem });
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let last = errors.trim().lines().last().unwrap_or_default();
        return Err(wrong(format!("ended with {}: {last}", output.status)));
    }
    FlowerVersion::from_program_output(&text).map_err(|error| wrong(format!("answered {error}")))
}
