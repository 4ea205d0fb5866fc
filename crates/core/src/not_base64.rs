//! Why a text is no base64, in words for whoever has copied it.
//!
//! Promises that no part of the text is repeated: it may be secret. Refuses to know what the text
//! should have been.

use std::fmt;

use base64::DecodeError;

/// A text is no base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBase64(DecodeError);

impl From<DecodeError> for NotBase64 {
    fn from(error: DecodeError) -> Self {
        Self(error)
    }
}

impl fmt::Display for NotBase64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DecodeError::InvalidByte(at, _) => {
                write!(f, "character {} is none of base64", at + 1)
            }
            DecodeError::InvalidLength(_)
            | DecodeError::InvalidLastSymbol(..)
            | DecodeError::InvalidPadding => f.write_str("its end is missing, or was changed"),
        }
    }
}

impl std::error::Error for NotBase64 {}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_damaged_text_is_told_without_a_part_of_it() {
        let told = |text: &str| NotBase64::from(STANDARD.decode(text).unwrap_err()).to_string();
        assert_eq!(told("aGVsbG8*"), "character 8 is none of base64");
        for cut in ["aGVsb", "aGVsbG8", "aGVsbG9="] {
            assert_eq!(told(cut), "its end is missing, or was changed", "{cut}");
        }
    }
}
