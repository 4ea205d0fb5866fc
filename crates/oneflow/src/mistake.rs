//! A mistake in a template: which rule it breaks, where, what was found, what to do.
//!
//! The rules are one closed list, which docs/REFERENCE.md repeats and a test compares.

use std::collections::BTreeMap;

use zonemesh_core::offered::without_secrets;
use zonemesh_core::visible::brief_lines;

use crate::json::{JsonNode, NOWHERE, TextPlace};

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateMistake {
    /// The rule that it breaks.
    pub rule: TemplateRule,
    /// Where it stands in the text.
    pub at: TextPlace,
    /// Where it stands in the document: `roles[1].parents[0]`.
    pub path: String,
    /// What stands there; of a secret never the value.
    pub found: String,
    /// What to do.
    pub fix: String,
}

macro_rules! rules {
    ($($rule:ident $name:literal $expected:literal $fix:literal)*) => {
        /// What a template must keep.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum TemplateRule {
            $(#[doc = $expected] $rule,)*
        }

        impl TemplateRule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$rule),*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$rule => $name),* }
            }

            /// What is expected.
            #[must_use]
            pub const fn expected(self) -> &'static str {
                match self { $(Self::$rule => $expected),* }
            }

            /// What to do, where nothing better is known.
            const fn fix(self) -> &'static str {
                match self { $(Self::$rule => $fix),* }
            }
        }
    };
}

rules! {
    Json "json" "a JSON document of at most 1 MiB in UTF-8"
        "write keys and texts in straight double quotes, no comments, no comma at an end; or take the file again"
    DuplicateKey "duplicate-key" "each key of an object once"
        "take one of them out: OneFlow reads the last"
    Document "document" "a service template, or one as `oneflow-template show -j` prints it"
        "give the file that `oneflow-template create` takes"
    Placeholder "placeholder" "no @name@ that was not filled in"
        "render it: zonemesh oneflow render TEMPLATE --set NAME=VALUE"
    Name "name" "a name of 1 to 128 characters"
        "give the service a name"
    Choice "choice" "one of the words that OneFlow knows"
        "write one of them"
    Boolean "boolean" "true or false, without quotes"
        "write true or false"
    Misspelled "misspelled" "no key that is almost one of OneFlow's"
        "write it as OneFlow reads it"
    Shape "shape" "a text, a list or an object where OneFlow reads one"
        "write it as OneFlow reads it"
    Whole "whole-number" "a whole number, without quotes"
        "write the number"
    ReadyGate "ready-gate" "`ready_status_gate` is true where Zonemesh's appliances run"
        "write \"ready_status_gate\": true: a role waits until its parents' companions are ready"
    Roles "roles" "a list of at least one role"
        "add a role"
    RoleName "role-name" "a name of its own of letters, digits and _, at most 34 of them"
        "rename the role: OpenNebula names its VMs ROLE_NUMBER_(service_ID), under 60 characters"
    RoleType "role-type" "`type` is \"vm\" or \"vr\""
        "write \"type\": \"vm\""
    OldForm "old-form" "a role in the form of OpenNebula 7"
        "write it anew: type, template_id, template_contents, user_inputs"
    TemplateId "template-id" "`template_id` is the number of a VM template"
        "write the number that `onetemplate list` shows, without quotes"
    Cardinality "cardinality" "min_vms <= cardinality <= max_vms"
        "write how many VMs there are, within its bounds"
    Parents "parents" "parents are other roles of this service"
        "name a role of this service: OneFlow takes any name and then waits for it for ever"
    ParentCycle "parent-cycle" "no role waits for itself"
        "take one of these parents out: OneFlow deploys none of them"
    UserInput "user-input" "three fields: M or O, type, description; or five: options and default too"
        "write the input anew: M|text|description, or M|list|description|a,b,c|a"
    InputValue "input-value" "each input has a value at every instantiate, and each value is one that its VM can take"
        "give it a default, which is taken where nothing is typed; or correct the value"
    Secret "secret" "a secret is an input of type password"
        "write M|password|description, so that it is not shown while it is typed"
    SecretElsewhere "secret-elsewhere" "a secret stands in the role that reads it, and in no other"
        "move it into the one role that reads it"
    Network "network" "five fields: M or O, network, description, nothing, and id:N, template_id:N or reserve_from:N"
        "write the network anew: M|network|description||id:N"
    Nic "nic" "each NIC names a network of this template, or an ID; an IP of it is an address"
        "write \"NETWORK_ID\": \"$name\" with a name of \"networks\""
    Context "context" "CONTEXT of Zonemesh's appliances has NETWORK=YES, TOKEN=YES, REPORT_READY=NO"
        "write it so: READY comes from the companion, by OneGate, and from nobody earlier"
    UnknownKey "unknown-key" "a key of ours (ONEAPP_ZONEMESH_, ONEAPP_FL_, ...) that the appliance of this role reads"
        "take it out, or correct it"
    MissingKey "missing-key" "a role has a value or an input for each key without which its appliance does not start"
        "add the input to the role"
    Elasticity "elasticity" "a policy has type, adjust and expression, its role min_vms and max_vms"
        "write the policy anew"
    Scheduled "scheduled" "no scheduled policies and no SCHED_ACTION"
        "take it out, and scale with `oneflow scale` or by a policy of elasticity"
}

/// A node with the way to it.
#[derive(Clone)]
pub(crate) struct Spot<'n> {
    pub(crate) node: &'n JsonNode,
    pub(crate) path: String,
}

impl<'n> Spot<'n> {
    pub(crate) fn child(&self, key: &str, node: &'n JsonNode) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { node, path: format!("{}{dot}{key}", self.path) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Self> {
        self.node.get(key).map(|node| self.child(key, node))
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = Self> + use<'n> {
        let path = self.path.clone();
        let item = move |(index, node)| Spot { node, path: format!("{path}[{index}]") };
        self.node.items().iter().enumerate().map(item)
    }

    /// Its keys; of two equal ones the last.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'n str, Self)> + use<'n> {
        let (members, above) = (self.node.members(), self.clone());
        let keys = members.iter().enumerate().map(|(index, member)| (member.key.as_str(), index));
        let last: BTreeMap<&str, usize> = keys.collect();
        let members = members.iter().enumerate();
        let members = members.filter(move |(index, member)| last[member.key.as_str()] == *index);
        members
            .map(move |(_, member)| (member.key.as_str(), above.child(&member.key, &member.node)))
    }
}

/// All that are found.
#[derive(Default)]
pub(crate) struct TemplateMistakes {
    found: Vec<TemplateMistake>,
}

impl TemplateMistakes {
    pub(crate) fn add(&mut self, rule: TemplateRule, spot: &Spot<'_>, found: impl Into<String>) {
        self.add_with_fix(rule, spot, found, rule.fix());
    }

    pub(crate) fn add_with_fix(
        &mut self,
        rule: TemplateRule,
        spot: &Spot<'_>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let told = |text: &str| brief_lines(&without_secrets(text));
        let (at, path, found) = (spot.node.at, told(&spot.path), told(&found.into()));
        self.found.push(TemplateMistake { rule, at, path, found, fix: told(&fix.into()) });
    }

    /// In the order of the text.
    pub(crate) fn into_sorted(mut self) -> Vec<TemplateMistake> {
        self.found.sort_by_key(|mistake| mistake.at);
        self.found
    }
}

impl TemplateMistake {
    /// A mistake of the whole text.
    pub(crate) fn of_text(rule: TemplateRule, at: Option<TextPlace>, found: String) -> Self {
        let (fix, found) = (rule.fix().to_owned(), brief_lines(&without_secrets(&found)));
        Self { rule, at: at.unwrap_or(NOWHERE), path: String::new(), found, fix }
    }
}
