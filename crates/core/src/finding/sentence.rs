//! Sentences with gaps: `{count} initiations unanswered[ ({address})]`.
//!
//! A gap in braces is filled with what was seen under that name; a part in brackets is left out if
//! one of its gaps stays empty. `{count:part|parts}` is the first word where one was seen under the
//! name, and the second otherwise.

/// Fills the gaps of a sentence. A gap outside brackets that `seen` does not know becomes `?`.
#[must_use]
pub fn sentence(template: &str, seen: impl Fn(&str) -> Option<String>) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, inside, after)) = bracketed(rest) {
        let (filled, _) = fill(before, &seen);
        text.push_str(&filled);
        if let (part, true) = fill(inside, &seen) {
            text.push_str(&part);
        }
        rest = after;
    }
    text + &fill(rest, &seen).0
}

/// The names of all gaps of a sentence.
pub fn placeholders(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|rest| Some(name_of(rest.split_once('}')?.0)))
}

fn name_of(gap: &str) -> &str {
    gap.split_once(':').map_or(gap, |(name, _)| name)
}

/// What stands in a gap, if anything was seen.
fn filled(gap: &str, seen: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let found = seen(name_of(gap))?;
    Some(match gap.split_once(':').and_then(|(_, words)| words.split_once('|')) {
        Some((one, _)) if found == "1" => one.to_owned(),
        Some((_, many)) => many.to_owned(),
        None => found,
    })
}

fn bracketed(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (inside, after) = rest.split_once(']')?;
    Some((before, inside, after))
}

/// The text, and whether every gap was filled.
fn fill(template: &str, seen: &impl Fn(&str) -> Option<String>) -> (String, bool) {
    let mut parts = template.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut whole = true;
    for part in parts {
        let (gap, after) = part.split_once('}').unwrap_or((part, ""));
        let found = filled(gap, seen);
        whole &= found.is_some();
        text.push_str(found.as_deref().unwrap_or("?"));
        text.push_str(after);
    }
    (text, whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_filled_and_empty_parts_are_left_out() {
        let template = "{count} unanswered[ ({address})][, says {reason}]";
        let seen = |name: &str| match name {
            "count" => Some("12".to_owned()),
            "reason" => Some("berlin".to_owned()),
            _ => None,
        };
        assert_eq!(sentence(template, seen), "12 unanswered, says berlin");
        assert_eq!(sentence("no gap", seen), "no gap");
        assert_eq!(sentence("{lane} of {count}", seen), "? of 12");
        assert_eq!(placeholders(template).collect::<Vec<_>>(), ["count", "address", "reason"]);
    }

    #[test]
    fn a_word_follows_its_number() {
        let template = "{count} {count:part|parts}[, {lane:lane|lanes}]";
        let told = |count: &str| {
            let seen = |name: &str| (name == "count").then(|| count.to_owned());
            sentence(template, seen)
        };
        assert_eq!([told("1"), told("0"), told("21")], ["1 part", "0 parts", "21 parts"]);
        assert_eq!(placeholders(template).collect::<Vec<_>>(), ["count", "count", "lane"]);
    }

    #[test]
    fn what_was_seen_is_no_template_itself() {
        let seen = |_: &str| Some("[{count}]".to_owned());
        assert_eq!(sentence("{reason}[ {reason}]", seen), "[{count}] [{count}]");
    }
}
