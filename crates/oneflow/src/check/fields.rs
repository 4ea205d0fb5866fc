//! Single fields: of which type a value is, and which words it may be.

use zonemesh_core::suggestion::nearest;

use crate::grammar::placeholder;
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// Whether a text still has a placeholder, of which its own rule complains.
pub(super) fn is_unfilled(spot: &Spot<'_>) -> bool {
    spot.node.as_text().is_some_and(|text| !placeholder::names(text).is_empty())
}

/// OneFlow passes over a key that it does not know: one that is almost one of its own was meant to be
/// that. Of others it is not known what they are for.
pub(super) fn misspelled(of: &Spot<'_>, known: &[&'static str], mistakes: &mut TemplateMistakes) {
    for (key, spot) in of.members().filter(|(key, _)| !known.contains(key)) {
        if let Some(meant) = nearest(key, known) {
            let fix = format!("write {meant:?}");
            mistakes.add_with_fix(TemplateRule::Misspelled, &spot, format!("{key:?}"), fix);
        }
    }
}

/// One of these words, if it is there.
pub(super) fn choice(
    above: &Spot<'_>,
    key: &str,
    words: &[&'static str],
    mistakes: &mut TemplateMistakes,
) {
    let Some(spot) = above.get(key) else { return };
    match spot.node.as_text() {
        Some(word) if words.contains(&word) => {}
        Some(word) => {
            let like = nearest(word, words).map(|like| format!("write {like:?}"));
            let fix = like.unwrap_or_else(|| format!("write one of: {}", words.join(", ")));
            mistakes.add_with_fix(TemplateRule::Choice, &spot, format!("{word:?}"), fix);
        }
        None => mistakes.add(TemplateRule::Choice, &spot, spot.node.kind()),
    }
}

pub(super) fn boolean(above: &Spot<'_>, key: &str, mistakes: &mut TemplateMistakes) {
    if let Some(spot) = above.get(key)
        && !matches!(spot.node.value, JsonValue::Bool(_))
    {
        mistakes.add(TemplateRule::Boolean, &spot, spot.node.kind());
    }
}

pub(super) fn text(above: &Spot<'_>, key: &str, mistakes: &mut TemplateMistakes) {
    if let Some(spot) = above.get(key)
        && spot.node.as_text().is_none()
    {
        mistakes.add(TemplateRule::Shape, &spot, format!("{}, and no text", spot.node.kind()));
    }
}

/// A list, if it is one: another thing is told.
pub(super) fn list<'n>(
    above: &Spot<'n>,
    key: &str,
    mistakes: &mut TemplateMistakes,
) -> Option<Spot<'n>> {
    let spot = above.get(key)?;
    if matches!(spot.node.value, JsonValue::List(_)) {
        return Some(spot);
    }
    mistakes.add(TemplateRule::Shape, &spot, format!("{}, and no list", spot.node.kind()));
    None
}

/// An object, if it is one: another thing is told.
pub(super) fn object<'n>(
    above: &Spot<'n>,
    key: &str,
    mistakes: &mut TemplateMistakes,
) -> Option<Spot<'n>> {
    let spot = above.get(key)?;
    is_object(&spot, mistakes).then_some(spot)
}

pub(super) fn is_object(spot: &Spot<'_>, mistakes: &mut TemplateMistakes) -> bool {
    let is_one = matches!(spot.node.value, JsonValue::Object(_));
    if !is_one {
        mistakes.add(TemplateRule::Shape, spot, format!("{}, and no object", spot.node.kind()));
    }
    is_one
}

/// A whole number of at least so much, if it is there.
pub(super) fn whole(
    above: &Spot<'_>,
    key: &str,
    least: i64,
    mistakes: &mut TemplateMistakes,
) -> Option<i64> {
    let spot = above.get(key)?;
    match spot.node.as_whole() {
        Some(number) if number >= least => return Some(number),
        Some(number) => {
            let fix = format!("write {least} or more");
            mistakes.add_with_fix(TemplateRule::Whole, &spot, number.to_string(), fix);
        }
        None if is_unfilled(&spot) => {}
        None => mistakes.add(TemplateRule::Whole, &spot, spot.node.kind()),
    }
    None
}
