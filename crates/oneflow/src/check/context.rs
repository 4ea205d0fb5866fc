//! CONTEXT of a role in which one of our appliances runs: READY has one source, OneGate a token, and
//! no secret of another role is reached for.

use super::fields;
use crate::appliance;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

/// What it must say.
const MUST: [(&str, &str); 3] = [("NETWORK", "YES"), ("TOKEN", "YES"), ("REPORT_READY", "NO")];

/// CONTEXT of an appliance's role. OneFlow merges it into the VM template's, so that it holds
/// whatever that says.
pub(super) fn check(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let contents = role.get("template_contents");
    let context = contents.as_ref().and_then(|contents| contents.get("CONTEXT"));
    let Some(context) = context else {
        mistakes.add(
            TemplateRule::Context,
            &contents.unwrap_or_else(|| role.clone()),
            "no CONTEXT",
        );
        return;
    };
    if !fields::is_object(&context, mistakes) {
        return;
    }
    for (key, value) in MUST {
        let spot = context.get(key);
        let found = match spot.as_ref().map(|spot| (spot.node.as_text(), spot.node.kind())) {
            Some((Some(text), _)) if text.eq_ignore_ascii_case(value) => continue,
            Some((Some(text), _)) => format!("{text:?}"),
            Some((None, kind)) => kind.to_owned(),
            None => format!("no {key}"),
        };
        let fix = format!("write {key:?}: {value:?}{}", why(key));
        mistakes.add_with_fix(
            TemplateRule::Context,
            &spot.unwrap_or_else(|| context.clone()),
            found,
            fix,
        );
    }
}

fn why(key: &str) -> &'static str {
    match key {
        "TOKEN" => ": by OneGate the companion tells READY and finds its gateway",
        "REPORT_READY" => ": READY comes from the companion, and from nobody earlier",
        _ => "",
    }
}

/// A role's VM template must not read a secret out of another role's VM.
pub(super) fn reaches(spot: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    if spot.node.as_text().is_some_and(appliance::reaches_for_secret) {
        mistakes.add(
            TemplateRule::SecretElsewhere,
            spot,
            "a reference to a secret of another role's VM",
        );
    }
    spot.items().for_each(|item| reaches(&item, mistakes));
    spot.members().for_each(|(_key, member)| reaches(&member, mistakes));
}
