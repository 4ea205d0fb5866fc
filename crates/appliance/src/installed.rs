//! The Flower that is installed on this machine.
//!
//! It promises a version that a program of the configured folder has told, with everything that may
//! be wrong with that folder put into words. It refuses to install anything.

use std::fs::File;
use std::io::Read as _;
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

/// Flower's programs, each of which is a script of its Python.
const PROGRAMS: [&str; 3] = [VERSION_PROGRAM, "flower-superlink", "flower-supernode"];
/// Linux looks for an interpreter in no more of a script (BINPRM_BUF_SIZE).
const FIRST_LINE: u64 = 256;

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
    have_interpreters(&home.programs)?;
    match generation_of(version) {
        Some(generation) => Ok(InstalledFlower { version, generation }),
        None => Err(Reason::FlowerUnsupported { version }),
    }
}

/// Python answers also from a folder that was copied from elsewhere, where no script runs.
fn have_interpreters(programs: &Path) -> Result<(), Reason> {
    let lacks = PROGRAMS.iter().map(|name| programs.join(name)).find_map(|program| {
        let interpreter = interpreter(&program)?;
        let is_there = Path::new(&interpreter).exists();
        (!is_there)
            .then(|| format!("{} needs {interpreter}, which is not there", program.display()))
    });
    lacks.map_or(Ok(()), |problem| Err(Reason::FlowerPrograms { problem }))
}

/// What runs a script; nothing of another file or none.
fn interpreter(program: &Path) -> Option<String> {
    let mut first = Vec::new();
    File::open(program).ok()?.take(FIRST_LINE).read_to_end(&mut first).ok()?;
    let line = first.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let words = std::str::from_utf8(line).ok()?;
    words.split_whitespace().next().map(str::to_owned)
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
