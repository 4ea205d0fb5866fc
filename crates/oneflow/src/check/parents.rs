//! Which role waits for which: OneFlow takes any names, and then waits for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::fields;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};
use zonemesh_core::suggestion::nearest;

/// Each role's name with those that it waits for.
type Waits<'n> = BTreeMap<&'n str, Vec<&'n str>>;

pub(super) fn check(body: &Spot<'_>, roles: &[Spot<'_>], mistakes: &mut TemplateMistakes) {
    let names: Vec<&str> =
        roles.iter().filter_map(|role| role.node.get("name")?.as_text()).collect();
    let mut waits = Waits::new();
    for role in roles {
        let own = role.node.get("name").and_then(|name| name.as_text());
        let Some(parents) = fields::list(role, "parents", mistakes) else { continue };
        let known = known_parents(&parents, &names, mistakes);
        if let Some(own) = own {
            waits.insert(own, known);
        }
        let straight =
            body.node.get("deployment").and_then(|word| word.as_text()) == Some("straight");
        if !straight && !parents.node.items().is_empty() {
            let found = "parents, in a service whose deployment is not \"straight\"";
            let fix = "write \"deployment\": \"straight\": else OneFlow deploys all roles at once";
            mistakes.add_with_fix(TemplateRule::Parents, &parents, found, fix);
        }
    }
    cycles(waits, roles, mistakes);
}

fn known_parents<'n>(
    parents: &Spot<'n>,
    names: &[&str],
    mistakes: &mut TemplateMistakes,
) -> Vec<&'n str> {
    let mut known = Vec::new();
    for parent in parents.items() {
        match parent.node.as_text() {
            Some(name) if names.contains(&name) => known.push(name),
            Some(name) => {
                let like = nearest(name, names).map(|like| format!("write {like:?}"));
                let none = || format!("name one of: {}", names.join(", "));
                let found = format!("{name:?}, which is no role of this service");
                let fix = format!(
                    "{}: OneFlow takes any name and then waits for it for ever",
                    like.unwrap_or_else(none)
                );
                mistakes.add_with_fix(TemplateRule::Parents, &parent, found, fix);
            }
            None => mistakes.add(TemplateRule::Parents, &parent, parent.node.kind()),
        }
    }
    known
}

/// Tells each circle once.
fn cycles(mut waits: Waits<'_>, roles: &[Spot<'_>], mistakes: &mut TemplateMistakes) {
    loop {
        // Who waits for nobody that is left will be deployed.
        let left: BTreeSet<&str> = waits.keys().copied().collect();
        let ready = |parents: &[&str]| !parents.iter().any(|parent| left.contains(parent));
        let before = waits.len();
        waits.retain(|_, parents| !ready(parents));
        if waits.len() < before {
            continue;
        }
        let Some(circle) = circle(&waits) else { return };
        let told = [circle.as_slice(), &circle[..1]].concat().join(" waits for ");
        let of_first = |role: &&Spot<'_>| {
            role.node.get("name").and_then(|name| name.as_text()) == circle.first().copied()
        };
        if let Some(parents) = roles.iter().find(of_first).and_then(|role| role.get("parents")) {
            mistakes.add(TemplateRule::ParentCycle, &parents, told);
        }
        waits.retain(|name, _| !circle.contains(name));
    }
}

/// A circle among roles of which each waits for one that is left.
fn circle<'n>(waits: &Waits<'n>) -> Option<Vec<&'n str>> {
    let mut way: Vec<&str> = vec![waits.keys().next()?];
    loop {
        let next = waits.get(way.last()?)?.iter().find(|parent| waits.contains_key(*parent))?;
        if let Some(start) = way.iter().position(|name| name == next) {
            return Some(way.split_off(start));
        }
        way.push(next);
    }
}
