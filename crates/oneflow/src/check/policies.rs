//! How many VMs a role has: its bounds, and the policies that move it between them.

use super::fields;
use crate::grammar::elasticity;
use crate::json::JsonValue;
use crate::mistake::{Spot, TemplateMistakes, TemplateRule};

const TYPES: [&str; 3] = ["CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE"];

/// The bounds of a role of VMs.
pub(super) fn bounds(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let count = fields::whole(role, "cardinality", 0, mistakes);
    let least = fields::whole(role, "min_vms", 0, mistakes);
    let most = fields::whole(role, "max_vms", 0, mistakes);
    fields::whole(role, "cooldown", 0, mistakes);
    let spot = role.get("cardinality").unwrap_or_else(|| role.clone());
    if role.get("cardinality").is_none() {
        mistakes.add(TemplateRule::Cardinality, &spot, "no cardinality: OneFlow would make no VM");
    }
    if let Some(count) = count
        && (least.is_some_and(|least| count < least) || most.is_some_and(|most| count > most))
    {
        let word = |bound: Option<i64>| bound.map_or_else(|| "none".to_owned(), |n| n.to_string());
        let found = format!("{count}, with min_vms {} and max_vms {}", word(least), word(most));
        mistakes.add(TemplateRule::Cardinality, &spot, found);
    }
}

/// The policies of a role of VMs.
pub(super) fn elasticity(role: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let Some(policies) = fields::list(role, "elasticity_policies", mistakes) else { return };
    let bounded = ["min_vms", "max_vms"].iter().all(|key| role.get(key).is_some());
    if !policies.node.items().is_empty() && !bounded {
        let (found, fix) = ("policies, and not both min_vms and max_vms", "write both");
        mistakes.add_with_fix(TemplateRule::Elasticity, &policies, found, fix);
    }
    for policy in policies.items() {
        if fields::is_object(&policy, mistakes) {
            check_policy(&policy, mistakes);
        }
    }
}

fn check_policy(policy: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    for key in ["type", "adjust", "expression"] {
        if policy.get(key).is_none() {
            mistakes.add(TemplateRule::Elasticity, policy, format!("no \"{key}\""));
        }
    }
    fields::choice(policy, "type", &TYPES, mistakes);
    if let Some(0) = fields::whole(policy, "adjust", i64::MIN, mistakes) {
        let spot = policy.get("adjust").unwrap_or_else(|| policy.clone());
        mistakes.add(TemplateRule::Elasticity, &spot, "0: such a policy changes nothing");
    }
    fields::whole(policy, "min_adjust_step", 1, mistakes);
    for key in ["period_number", "period", "cooldown"] {
        fields::whole(policy, key, 0, mistakes);
    }
    let Some(expression) = policy.get("expression") else { return };
    match expression.node.as_text() {
        None => mistakes.add(TemplateRule::Elasticity, &expression, expression.node.kind()),
        Some(text) => {
            if let Some(at) = elasticity::failure(text) {
                let found =
                    format!("{text:?}, which is no expression from character {} on", at + 1);
                let fix = "write it as in CPU > 80 && MEMORY > 1000: names, numbers, comparisons";
                mistakes.add_with_fix(TemplateRule::Elasticity, &expression, found, fix);
            }
        }
    }
}

/// What would change VMs at a time of its own, in a role or the service: whoever reads the template
/// does not see that it does.
pub(super) fn scheduled(of: &Spot<'_>, mistakes: &mut TemplateMistakes) {
    let contents = of.get("template_contents");
    for (key, spot) in [Some(of.clone()), contents].iter().flatten().flat_map(Spot::members) {
        let found = match key.to_ascii_lowercase().as_str() {
            "scheduled_policies" => "scheduled policies",
            "sched_action" => "scheduled actions",
            _ => continue,
        };
        if !matches!(&spot.node.value, JsonValue::List(all) if all.is_empty()) {
            mistakes.add(TemplateRule::Scheduled, &spot, found);
        }
    }
}
