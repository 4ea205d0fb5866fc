//! What `zonemesh mesh init --out` has written for one zone: lines for the CONTEXT of its VMs.
//!
//! Promises that a line that is none of ours, or holds another thing than its key says, is told
//! without its value. There is no `Debug`: most of it is secret.

use zeroize::Zeroizing;
use zonemesh_context::{Appliance, Image};
use zonemesh_core::offered::OfferedText;
use zonemesh_core::token::VmRole;

use super::RenderLack;
use crate::appliance::{self, KeyStanding};
use crate::given::{ZoneGiven, ZoneOfMesh};

/// What is for its gateway.
const GATEWAY_FILE: &str = "context";

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
    /// The file that it stands in.
    pub(super) file: String,
}

impl ZoneFolder {
    /// Whether a file of this name is of interest.
    #[must_use]
    pub fn takes(name: &str) -> bool {
        name == GATEWAY_FILE || name.ends_with(".context")
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
        let as_written = || "the folder as `zonemesh mesh init --out` has written it".to_owned();
        let mut lines = Vec::new();
        for (number, text) in (1..).zip(file.text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match line(text, appliance) {
                Ok(line) => lines.push(ContextLine { file: file.name.clone(), ..line }),
                Err(why) => lacks.push(RenderLack {
                    what: format!("{} of zone {}, line {number}: {why}", file.name, self.zone),
                    give: as_written(),
                }),
            }
        }
        // What stands beside another zone's file looks wrong, and is not.
        let of_file = |name: &str, why: String| format!("{name} of zone {} {why}", self.zone);
        let what = match self.foreign() {
            Some(why) => Some(of_file(GATEWAY_FILE, why)),
            None => self.mixed_up(appliance, file, &lines).map(|why| of_file(&file.name, why)),
        };
        lacks.extend(what.map(|what| RenderLack { what, give: as_written() }));
        if lacks.is_empty() { Ok(lines) } else { Err(lacks) }
    }

    /// What the zone's gateway is given, if there is a file for it that can be read and is this zone's.
    pub(super) fn given(&self) -> Option<ZoneGiven> {
        self.given_to_any().filter(|given| given.of.zone.as_str() == self.zone)
    }

    fn given_to_any(&self) -> Option<ZoneGiven> {
        let file = self.files.iter().find(|file| file.name == GATEWAY_FILE)?;
        let mut lines = file.text.lines().filter_map(|text| line(text, Appliance::Gateway).ok());
        let value = lines.find(|line| line.key == "ONEAPP_ZONEMESH_INVITATION")?.value;
        ZoneGiven::parse(&value).ok()
    }

    /// Why the file for the gateway is of another zone than the folder.
    fn foreign(&self) -> Option<String> {
        let other = self.given_to_any().filter(|given| given.of.zone.as_str() != self.zone)?;
        Some(format!("is zone {}'s", other.of.zone))
    }

    /// Why a file is of another zone, another role or another federation.
    fn mixed_up(
        &self,
        appliance: Appliance,
        file: &ZoneFile,
        lines: &[ContextLine],
    ) -> Option<String> {
        let value = |key: &str| lines.iter().find(|line| line.key == key).map(|line| &line.value);
        let given = self.given();
        let role = match appliance {
            Appliance::Gateway => return None,
            Appliance::SuperLink => VmRole::SuperLink,
            Appliance::SuperNode => VmRole::SuperNode,
        };
        let named = federation_of(&file.name, appliance)?;
        if let Some(other) = value("ONEAPP_ZONEMESH_FEDERATION").filter(|name| ***name != named) {
            return Some(format!("is of federation {}", other.as_str()));
        }
        let token = value("ONEAPP_ZONEMESH_TOKEN")?;
        if let Some(given) = given {
            return given.refuses_token(token, role, &named);
        }
        let of = ZoneOfMesh::of_token(token)?;
        (of.zone.as_str() != self.zone).then(|| format!("holds a token of zone {}", of.zone))
    }

    fn file(
        &self,
        appliance: Appliance,
        federation: Option<&str>,
    ) -> Result<&ZoneFile, RenderLack> {
        let zone = &self.zone;
        if appliance == Appliance::Gateway {
            let lack = || {
                RenderLack {
                what: format!("zone {zone} has no file `context`, for its gateway"),
                give: "--zone FOLDER/ZONE, a zone's own folder in what `zonemesh mesh init --out FOLDER` wrote"
                    .to_owned(),
            }
            };
            return self.files.iter().find(|file| file.name == GATEWAY_FILE).ok_or_else(lack);
        }
        let files = self.files.iter();
        let all: Vec<(String, &ZoneFile)> =
            files.filter_map(|file| Some((federation_of(&file.name, appliance)?, file))).collect();
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

/// The federation of a file for VMs of this role.
fn federation_of(file: &str, appliance: Appliance) -> Option<String> {
    let of_role = file.strip_prefix(appliance.role())?.strip_prefix('-')?;
    Some(of_role.strip_suffix(".context")?.to_owned())
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
    if let Some(unfit) = appliance::unfit(key, value) {
        return Err(format!("{key}: {}", unfit.why));
    }
    let (key, value) = (key.to_owned(), Zeroizing::new(value.to_owned()));
    Ok(ContextLine { key, value, file: String::new() })
}

/// What stands before a `=` may be anything, and long.
fn shortened(key: &str) -> String {
    key.chars().take(64).collect()
}
