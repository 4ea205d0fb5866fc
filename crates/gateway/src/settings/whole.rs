//! A configuration that was given whole: as it is, or in base64.
//!
//! It promises that what was encoded twice, or is another thing, is told as that, and that whatever
//! the daemon would refuse is refused here. It refuses to change a character of it.

use zonemesh_config::{Config, ConfigErrors};
use zonemesh_context::judged::gateway::{self, NoConfiguration};
use zonemesh_context::keys::gateway::CONFIG;

/// Why a value is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum WholeError {
    /// Another thing.
    #[error(transparent)]
    Text(#[from] NoConfiguration),
    /// A configuration with mistakes.
    #[error("the configuration has mistakes\n{0}")]
    Mistakes(#[from] ConfigErrors),
}

/// The text, if a daemon can run with it.
pub(super) fn configuration(value: &str) -> Result<String, WholeError> {
    let text = gateway::configuration(value)?;
    Config::parse(&text, CONFIG.name)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn toml_in_every_form_is_taken_as_it_stands_there() {
        let forms = [
            "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n",
            // Indented, dotted and literal, which a line by line look does not see.
            "zone.name = 'berlin'\nzone.prefixes = ['10.10.10.0/24']\n",
            "# berlin\n  zone.name = 'berlin'\n  zone.prefixes = ['10.10.10.0/24']\n  [local_api]\n    listen = '0.0.0.0:51822'\n",
        ];
        for toml in forms {
            let encoded = STANDARD.encode(toml);
            let (first, second) = encoded.split_at(20);
            for value in [toml, &encoded, &format!("{first}\n{second}\n")] {
                assert_eq!(configuration(value).unwrap(), toml, "{value}");
            }
        }
    }

    #[test]
    fn what_else_was_given_is_told_as_what_it_is() {
        let toml = "[zone]\nname = \"berlin\"\nprefixes = [\"10.10.10.0/24\"]\n";
        let twice = STANDARD.encode(STANDARD.encode(toml));
        let invitation = STANDARD.encode("zonemesh-invitation-1\nand what is in it");
        for (value, words) in [
            (twice.as_str(), "it is encoded twice"),
            (&invitation, "it is an invitation: give it as ONEAPP_ZONEMESH_INVITATION"),
            ("zonemesh.toml", "neither the text of a configuration nor base64"),
            (&STANDARD.encode("name: berlin"), "neither the text of a configuration nor base64"),
            (&STANDARD.encode("[zone]\nname = \"Berlin\"\n"), "has mistakes\n"),
        ] {
            let told = configuration(value).unwrap_err().to_string();
            assert!(told.contains(words), "{told}");
        }
    }
}
