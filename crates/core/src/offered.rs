//! What a text is that somebody gave to a command: by its beginning, also where it was cut off.
//!
//! Promises only words for people: nothing is believed and no value of the text comes back. Refuses
//! to know which command it was given to.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What all forms of each begin with.
const KINDS: [(&[u8], OfferedText); 4] = [
    (b"zonemesh-invitation-", OfferedText::Invitation),
    (b"zonemesh-founding-", OfferedText::FoundingBundle),
    (b"zonemesh-trust-", OfferedText::TrustItems),
    (b"zonemesh-issued-", OfferedText::KeptInvitation),
];

/// Characters that hold the longest of them.
const HEAD: usize = 28;

/// Characters that the secret of a token has at least: 128 bits in base64.
const TOKEN_SECRET: usize = 22;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferedText {
    /// Nothing at all.
    Empty,
    /// An invitation, whole or not.
    Invitation,
    /// A founding bundle, whole or not.
    FoundingBundle,
    /// What a gateway keeps of an invitation that it has issued.
    KeptInvitation,
    /// Trust items.
    TrustItems,
    /// A VM's token.
    Token,
    /// The public or private half of a key.
    Key,
    /// A private key, in PEM or in base64 of that, whole or not, alone or beside other things.
    PrivateKey,
    /// A certificate in PEM.
    Pem,
    /// Lines for a VM's CONTEXT.
    Context,
    /// A gateway's configuration.
    Configuration,
    /// Something else.
    Other,
}

impl OfferedText {
    /// Looks at a text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word));
        let head = text.get(..HEAD.min(text.len() / 4 * 4)).unwrap_or_default();
        let head = STANDARD.decode(head).unwrap_or_default();
        let kind = KINDS.iter().find(|(magic, _)| head.starts_with(magic));
        match kind {
            Some((_, kind)) => *kind,
            None if text.is_empty() => Self::Empty,
            None if holds_private_key(text) => Self::PrivateKey,
            None if begins(&["zmt1"]) => Self::Token,
            None if begins(&["ed25519:", "authority:"]) || is_key(text) => Self::Key,
            None if begins(&["-----BEGIN"]) => Self::Pem,
            None if text.contains("ONEAPP_ZONEMESH_") => Self::Context,
            None if begins(&["["]) || text.contains("\n[") => Self::Configuration,
            None => Self::Other,
        }
    }

    /// The same with its article.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Empty => "an empty file",
            Self::Invitation => "an invitation",
            Self::FoundingBundle => "a founding bundle",
            Self::KeptInvitation => "what a gateway keeps of an invitation",
            Self::TrustItems => "a file of trust items",
            Self::Token => "a VM's token",
            Self::Key => "a key",
            Self::PrivateKey => "a private key",
            Self::Pem => "a certificate in PEM",
            Self::Context => "a file of CONTEXT lines",
            Self::Configuration => "a configuration",
            Self::Other => "something else",
        }
    }
}

/// `text` without the tokens, invitations, bundles and private keys in it: whoever puts one where it
/// does not belong must not find it in a log.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    if holds_private_key(text) {
        // Its lines are words like any other: nothing of the text is told.
        return format!("[{}]", OfferedText::PrivateKey.words()).into();
    }
    let of_word = |c: char| c.is_ascii_alphanumeric() || "+/._:-".contains(c);
    let mut told = String::new();
    let mut begin = 0;
    for word in text.split(|c| !of_word(c)).filter(|word| !word.is_empty()) {
        let Some(kind) = secret_in(word) else { continue };
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        told.push_str(&text[begin..at]);
        told.push_str(&format!("[{}]", kind.words()));
        begin = at + word.len();
    }
    match begin {
        0 => text.into(),
        _ => (told + &text[begin..]).into(),
    }
}

/// What of it is nobody else's business.
fn secret_in(word: &str) -> Option<OfferedText> {
    let is_token = word.contains("zmt1.") && word.len() > "zmt1.".len() + TOKEN_SECRET;
    let kind = if is_token { OfferedText::Token } else { OfferedText::of(word) };
    let secret =
        [OfferedText::Invitation, OfferedText::FoundingBundle, OfferedText::KeptInvitation];
    (is_token || secret.contains(&kind)).then_some(kind)
}

/// What PEM calls every kind of private key (RFC 7468, OpenSSL, OpenSSH), and its base64 wherever in a
/// text it begins.
const PRIVATE_KEY: [&str; 4] =
    ["PRIVATE KEY-----", "UFJJVkFURSBLRV", "BSSVZBVEUgS0VZ", "QUklWQVRFIEtFW"];

/// True if a part of the text is a private key, as PEM has it: also one that is cut or broken up.
#[must_use]
pub fn holds_private_key(text: &str) -> bool {
    let has = |text: &str| PRIVATE_KEY.iter().any(|words| text.contains(words));
    has(text) || has(&text.replace(char::is_whitespace, ""))
}

/// 32 bytes, as keys are written.
fn is_key(text: &str) -> bool {
    text.len() == 44 && STANDARD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_known_by_its_beginning_also_if_it_is_cut() {
        for (magic, kind) in KINDS {
            let whole = STANDARD.encode([magic, b"1\nand what is in it".as_slice()].concat());
            for length in [HEAD, HEAD + 1, whole.len() - 1, whole.len()] {
                assert_eq!(OfferedText::of(&whole[..length]), kind, "{length}");
            }
        }
    }

    #[test]
    fn what_else_people_have_is_told_apart() {
        for (text, kind) in [
            (" \n", OfferedText::Empty),
            ("zmt1.key:abc.def", OfferedText::Token),
            ("hiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb0=", OfferedText::Key),
            ("-----BEGIN CERTIFICATE-----\n", OfferedText::Pem),
            ("-----BEGIN EC PRIVATE KEY-----\nMHc", OfferedText::PrivateKey),
            ("ONEAPP_ZONEMESH_INVITATION=\"x\"", OfferedText::Context),
            ("# a gateway\n[zone]\nname = \"berlin\"", OfferedText::Configuration),
            ("bm8gaXRlbQ==", OfferedText::Other),
            ("hällo wörld, this is no base64 ä", OfferedText::Other),
        ] {
            assert_eq!(OfferedText::of(text), kind, "{text:?}");
        }
    }

    #[test]
    fn a_private_key_is_known_wherever_it_begins_and_nothing_of_it_is_told() {
        for before in ["", "-", "--", "a certificate before it\n"] {
            let pem = format!("{before}-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0LXNlY3JldA==");
            let encoded = STANDARD.encode(&pem);
            let lines = encoded.as_bytes().chunks(9).map(|line| String::from_utf8_lossy(line));
            let folded = lines.collect::<Vec<_>>().join("\n");
            for text in [
                pem,
                format!("\"{encoded}\" is no place"),
                encoded[..encoded.len() - 9].to_owned(),
                folded,
            ] {
                assert_eq!(without_secrets(&text), "[a private key]", "{text}");
            }
        }
        let about = "it is no base64 of a PEM text with a PRIVATE KEY";
        assert_eq!(without_secrets(about), about);
    }

    #[test]
    fn a_secret_in_a_text_is_named_and_not_told() {
        let token =
            "zmt1.key:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w.bm90LWEtc2VjcmV0LWF0LWFsbA";
        let invitation = STANDARD.encode("zonemesh-invitation-1\nand what is in it");
        for (text, told) in [
            (format!("{token:?} is no name"), "\"[a VM's token]\" is no name"),
            (format!("a={token}, b={invitation}"), "a=[a VM's token], b=[an invitation]"),
            (format!("ONEAPP_{token}"), "[a VM's token]"),
            ("zmt1.key:....".to_owned(), "zmt1.key:...."),
            ("ü \"health eu\"".to_owned(), "ü \"health eu\""),
        ] {
            assert_eq!(without_secrets(&text).trim_end_matches('='), told);
        }
    }
}
