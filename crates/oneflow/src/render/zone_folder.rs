//! What `zonemesh mesh init --out` has written for one zone: lines for the CONTEXT of its VMs.
//!
//! Promises that a line that is none of ours, or holds another thing than its key says, is told
//! without its value. There is no `Debug`: most of it is secret.

use zeroize::Zeroizing;
use zonemesh_core::offered::OfferedText;

use super::RenderLack;
use zonemesh_context::{Appliance, Image};

use crate::appliance::{self, KeyStanding};

/// A file of the folder.
pub struct ZoneFile {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub text: Zeroizing<String>,
}

/// The folder of one zone.
pub struct ZoneFolder {
    /// The zone's name, as the folder has it.
    pub zone: String,
    /// The files with lines for a CONTEXT.
    pub files: Vec<ZoneFile>,
}

/// A line of CONTEXT.
pub(super) struct ContextLine {
    pub(super) key: String,
    pub(super) value: Zeroizing<String>,
}

impl ZoneFolder {
    /// Whether a file of this name is of interest.
    #[must_use]
    pub fn takes(name: &str) -> bool {
        name == "context" || name.ends_with(".context")
    }

    /// The lines for the VMs of a role: of each appliance in its image, or all that is missing.
    pub(super) fn lines(
        &self,
        image: Image,
        federation: Option<&str>,
    ) -> Result<Vec<ContextLine>, Vec<RenderLack>> {
        let (mut lines, mut lacks) = (Vec::new(), Vec::new());
        for appliance in image.appliances() {
            match self.lines_of(*appliance, federation) {
                Ok(own) => lines.extend(own),
                Err(missing) => lacks.extend(missing),
            }
        }
        if lacks.is_empty() { Ok(lines) } else { Err(lacks) }
    }

    fn lines_of(
        &self,
        appliance: Appliance,
        federation: Option<&str>,
    ) -> Result<Vec<ContextLine>, Vec<RenderLack>> {
        let file = self.file(appliance, federation).map_err(|lack| vec![lack])?;
        let mut lacks = Vec::new();
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(file.text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match line(text, appliance) {
                Ok(line) => lines.push(line),
                Err(why) => lacks.push(RenderLack {
                    what: format!("{} of zone {}, line {number}: {why}", file.name, self.zone),
                    give: "the folder as `zonemesh mesh init --out` has written it".to_owned(),
                }),
            }
        }
        if lacks.is_empty() { Ok(lines) } else { Err(lacks) }
    }

    fn file(
        &self,
        appliance: Appliance,
        federation: Option<&str>,
    ) -> Result<&ZoneFile, RenderLack> {
        let zone = &self.zone;
        let begin = format!("{}-", appliance.role());
        if appliance == Appliance::Gateway {
            let lack = || {
                RenderLack {
                what: format!("zone {zone} has no file `context`, for its gateway"),
                give: "--zone FOLDER/ZONE, a zone's own folder in what `zonemesh mesh init --out FOLDER` wrote"
                    .to_owned(),
            }
            };
            return self.files.iter().find(|file| file.name == "context").ok_or_else(lack);
        }
        let of_role = |name: &str| -> Option<String> {
            Some(name.strip_prefix(&begin)?.strip_suffix(".context")?.to_owned())
        };
        let all: Vec<(String, &ZoneFile)> =
            self.files.iter().filter_map(|file| Some((of_role(&file.name)?, file))).collect();
        let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let role = appliance.role();
        match (all.as_slice(), federation) {
            ([], _) => Err(RenderLack {
                what: format!(
                    "zone {zone} has no lines for a {role}: it has no such part in a federation"
                ),
                give: format!(
                    "a folder that was made with --federation NAME=HOST:TRAINER, with {zone} as {}",
                    if appliance == Appliance::SuperLink { "HOST" } else { "HOST or TRAINER" }
                ),
            }),
            ([(_, file)], None) => Ok(file),
            (_, None) => Err(RenderLack {
                what: format!(
                    "zone {zone} has a {role} in several federations: {}",
                    names.join(", ")
                ),
                give: "--federation NAME, one of them".to_owned(),
            }),
            (_, Some(wanted)) => {
                let of_it = all.iter().find(|(name, _)| name == wanted);
                of_it.map(|(_, file)| *file).ok_or_else(|| RenderLack {
                    what: format!("zone {zone} has no {role} in federation {wanted}"),
                    give: format!("--federation with one of: {}", names.join(", ")),
                })
            }
        }
    }
}

/// Reads `KEY="VALUE"`.
fn line(text: &str, appliance: Appliance) -> Result<ContextLine, String> {
    let quoted = text.split_once('=').and_then(|(key, value)| {
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        (!value.contains(['"', '\\'])).then_some((key.trim(), value))
    });
    let Some((key, value)) = quoted else {
        return Err("no KEY=\"VALUE\"".to_owned());
    };
    match appliance::standing(appliance.into(), key) {
        KeyStanding::Well if key.starts_with("ONEAPP_ZONEMESH_") => {}
        _ => return Err(format!("a {} reads no {:?}", appliance.role(), shortened(key))),
    }
    let found = OfferedText::of(value);
    let fits = match key {
        "ONEAPP_ZONEMESH_INVITATION" => {
            matches!(found, OfferedText::Invitation | OfferedText::FoundingBundle)
        }
        "ONEAPP_ZONEMESH_TOKEN" => found == OfferedText::Token,
        _ => found != OfferedText::Empty,
    };
    if !fits {
        return Err(format!("{key} holds {}", found.words()));
    }
    Ok(ContextLine { key: key.to_owned(), value: Zeroizing::new(value.to_owned()) })
}

/// What stands before a `=` may be anything, and long.
fn shortened(key: &str) -> String {
    key.chars().take(64).collect()
}
