//! What a mistyped word was probably meant to be.

/// How alike two words have to be.
const ALIKE: f64 = 0.75;
/// Longer than any word that is known; it takes its time to compare one.
const LONGEST: usize = 256;

/// The candidate that `text` was probably meant to be, if one is like it.
#[must_use]
pub fn nearest<'c>(text: &str, candidates: &[&'c str]) -> Option<&'c str> {
    if text.len() > LONGEST {
        return None;
    }
    candidates
        .iter()
        .map(|candidate| (strsim::jaro_winkler(text, candidate), *candidate))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The candidate that a long word is but for a few letters, whatever else is like it: how many may
/// be wrong, missing, too many or exchanged.
#[must_use]
pub fn but_for_letters<'c>(text: &str, candidates: &[&'c str], letters: usize) -> Option<&'c str> {
    let is_near_in_length = |candidate: &&&str| candidate.len().abs_diff(text.len()) <= letters;
    candidates
        .iter()
        .filter(is_near_in_length)
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), *candidate))
        .filter(|(wrong, _)| *wrong <= letters)
        .min_by_key(|(wrong, _)| *wrong)
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
        assert_eq!(nearest(&format!("TOKEN{}", "N".repeat(1 << 20)), &words), None);
    }

    #[test]
    fn a_long_word_is_known_but_for_a_few_letters_and_no_more() {
        let words = ["ONEAPP_ZONEMESH_TOKEN", "ONEAPP_ZONEMESH_GATEWAY"];
        for text in ["ONEAPP_ZONEMSH_TOKEN", "ONEAPP_ZNOEMESH_TOEKN", "ONEAPP_ZONEMESH_TOKENS"] {
            assert_eq!(but_for_letters(text, &words, 2), Some(words[0]), "{text}");
        }
        assert_eq!(but_for_letters("ONEAPP_ZOOKEEPER_TOKEN", &words, 2), None);
        assert_eq!(but_for_letters(&"A".repeat(1 << 20), &words, 2), None);
    }
}
