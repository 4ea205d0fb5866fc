//! What a mistyped word was probably meant to be.

/// How alike two words have to be.
const ALIKE: f64 = 0.75;

/// The candidate that `text` was probably meant to be, if one is like it.
#[must_use]
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_letters_exchanged_is_known_and_another_one_is_not() {
        let words = ["FEDERATION", "GATEWAY", "TOKEN"];
        assert_eq!(nearest("FEDERATOIN", &words), Some("FEDERATION"));
        assert_eq!(nearest("COLOUR", &words), None);
    }
}
