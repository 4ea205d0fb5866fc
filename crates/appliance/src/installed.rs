//! The Flower that is installed on this machine.
//!
//! It promises a version that a program of the configured folder has told, with everything that may
//! be wrong with that folder put into words. It refuses to install anything.

use std::path::Path;
use std::time::Duration;

use crate::asked::{FlowerQuestion, QuestionError};
use crate::files::FileOwner;
use crate::flower::{FlowerHome, FlowerVersion, InstalledFlower, VERSION_PROGRAM, generation_of};
use crate::reason::Reason;

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
    let question = FlowerQuestion {
        program: program.to_owned(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        environment: home.environment(),
        owner,
        patience: TIMEOUT,
    };
    let text = question.answer().await.map_err(|error| {
        let problem = format!("{asked} {error}");
        match error {
            QuestionError::Silent(_) => Reason::FlowerSilent { problem },
            QuestionError::Start(_) | QuestionError::Failed { .. } => {
                Reason::FlowerPrograms { problem }
            }
        }
    })?;
    FlowerVersion::from_program_output(&text)
        .map_err(|error| Reason::FlowerPrograms { problem: format!("{asked} answered {error}") })
}
