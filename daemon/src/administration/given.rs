//! Reading what an engineer gave to join or to found with: what it is instead, and what to type.
//!
//! Promises: a file that is cut, of another kind or of another zone is told apart. Refuses to know
//! whether what it says still holds.

use zonemesh_core::exit::error_line;
use zonemesh_core::founding::{FoundingBundle, FoundingBundleError};
use zonemesh_core::invitation::{Invitation, InvitationError};
use zonemesh_core::name::ZoneName;
use zonemesh_core::offered::OfferedText;

use super::Refusal;

const CUT: &str = "copy the whole file again: it is one line of base64";
const NEWER: &str = "update zonemesh here, then the same again";

/// The invitation that `text` is.
pub(super) fn invitation(text: &str) -> Result<Invitation, Refusal> {
    Invitation::from_text(text).map_err(|error| match (OfferedText::of(text), &error) {
        (OfferedText::Invitation, InvitationError::Newer) => {
            Refusal::Given(error.to_string(), NEWER)
        }
        // What base64 has against it says nothing more.
        (OfferedText::Invitation, InvitationError::Base64(_)) => {
            Refusal::Given(InvitationError::Damaged.to_string(), CUT)
        }
        (OfferedText::Invitation, _) => Refusal::Given(error_line(&error), CUT),
        (other, _) => instead(other, "an invitation"),
    })
}

/// The founding bundle that `text` is.
pub(super) fn founding(text: &str) -> Result<FoundingBundle, Refusal> {
    FoundingBundle::from_text(text).map_err(|error| match (OfferedText::of(text), &error) {
        (OfferedText::FoundingBundle, FoundingBundleError::Newer) => {
            Refusal::Given(error.to_string(), NEWER)
        }
        (OfferedText::FoundingBundle, FoundingBundleError::Base64(_)) => {
            Refusal::Given(FoundingBundleError::Damaged.to_string(), CUT)
        }
        (OfferedText::FoundingBundle, _) => Refusal::Given(error_line(&error), CUT),
        (other, _) => instead(other, "a founding bundle"),
    })
}

/// A file of another zone; `what` with its article.
pub(super) fn of_another_zone(what: &str, theirs: &ZoneName, own: &ZoneName) -> Refusal {
    Refusal::Given(
        format!("{what} is for zone {theirs}, this is zone {own} (zone.name)"),
        "the same at the gateway of that zone; or set zone.name here, then systemctl restart zonemeshd",
    )
}

fn instead(given: OfferedText, wanted: &str) -> Refusal {
    let next = match given {
        OfferedText::Invitation => "zonemesh zone join FILE",
        OfferedText::FoundingBundle => "zonemesh mesh found FILE",
        OfferedText::TrustItems => "zonemesh trust show FILE, then zonemesh trust import FILE",
        OfferedText::Context => {
            "put these lines into the CONTEXT of the VM; or name the file beside it"
        }
        OfferedText::Configuration => "zonemesh config check FILE; it belongs to /etc/zonemesh",
        OfferedText::KeptInvitation => "name the file that zonemesh zone invite --out has written",
        OfferedText::Token => "set it as ONEAPP_ZONEMESH_TOKEN in the CONTEXT of the VM",
        OfferedText::Empty
        | OfferedText::Key
        | OfferedText::PrivateKey
        | OfferedText::Pem
        | OfferedText::Other => {
            "name the file that zonemesh zone invite, or zonemesh mesh init, has written"
        }
    };
    Refusal::Given(format!("this is {}, and not {wanted}", given.words()), next)
}

#[cfg(test)]
mod tests {
    use super::super::founding::tests::bundle;
    use super::super::tests::berlin;
    use super::*;

    fn told(refusal: &Refusal) -> (String, &'static str) {
        (refusal.to_line(), refusal.next())
    }

    #[tokio::test]
    async fn what_is_given_in_the_place_of_another_is_told_with_where_it_belongs() {
        let berlin = berlin().await;
        let invited = berlin.invite_madrid().await.unwrap().to_text();
        let founded = bundle("berlin", "10.10.1.0/24", "10.255.0.1");
        let refused = invitation(&founded).unwrap_err();
        let expected = "this is a founding bundle, and not an invitation".to_owned();
        assert_eq!(told(&refused), (expected, "zonemesh mesh found FILE"));
        let refused = founding(&invited).err().unwrap();
        let expected = "this is an invitation, and not a founding bundle".to_owned();
        assert_eq!(told(&refused), (expected, "zonemesh zone join FILE"));
        let (line, next) = told(&invitation("[zone]\nname = \"berlin\"").unwrap_err());
        assert!(line.starts_with("this is a configuration,"), "{line}");
        assert!(next.starts_with("zonemesh config check"), "{next}");
    }

    #[tokio::test]
    async fn a_file_that_was_cut_off_is_told_as_that_wherever_it_was_cut() {
        let berlin = berlin().await;
        let invited = berlin.invite_madrid().await.unwrap().to_text();
        let founded = bundle("berlin", "10.10.1.0/24", "10.255.0.1");
        for cut in 1..=4 {
            let refused = invitation(&invited[..invited.len() - 4 - cut]).unwrap_err();
            let expected = "this invitation is cut off or damaged; was it copied whole?".to_owned();
            assert_eq!(told(&refused), (expected, CUT), "{cut}");
            let refused = founding(&founded[..founded.len() - 4 - cut]).err().unwrap();
            let (line, next) = told(&refused);
            assert!(line.contains("cut off or damaged") && next == CUT, "{line}");
        }
    }
}
