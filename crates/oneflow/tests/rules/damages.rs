//! What is damaged in a template, and which rule finds it.

use serde_json::{Value, json};
use zonemesh_oneflow::TemplateRule;

/// A place in the single site's template, what stands there instead, and what is found then.
pub(crate) type Damage = (&'static str, Value, TemplateRule, &'static str);

pub(crate) const TOKEN: &str = "/roles/1/user_inputs/ONEAPP_ZONEMESH_TOKEN";
pub(crate) const FEDERATION: &str = "/roles/1/user_inputs/ONEAPP_ZONEMESH_FEDERATION";
pub(crate) const VALUES: &str = "/roles/1/user_inputs_values";
pub(crate) const CONTEXT: &str = "/roles/1/template_contents/CONTEXT";

pub(crate) fn damages_of_the_service() -> Vec<Damage> {
    use TemplateRule as Rule;
    vec![
        ("/name", json!(""), Rule::Name, "an empty name"),
        ("/name", json!("n".repeat(129)), Rule::Name, "129 characters"),
        ("/name", json!(7), Rule::Name, "a number"),
        ("/name", json!("@name@"), Rule::Placeholder, "--set name=VALUE"),
        ("/description", json!(7), Rule::Shape, "no text"),
        ("/deployment", json!("parallel"), Rule::Choice, "straight, none"),
        ("/deployment", json!("none"), Rule::Parents, "whose deployment is not \"straight\""),
        ("/shutdown_action", json!("terminat"), Rule::Choice, "write \"terminate\""),
        ("/ready_status_gate", json!("true"), Rule::Boolean, "a text"),
        ("/ready_status_gate", json!(false), Rule::ReadyGate, "false"),
        ("/automatic_deletion", json!(0), Rule::Boolean, "a number"),
        ("/on_hold", json!("NO"), Rule::Boolean, "a text"),
        ("/custom_attrs", json!({}), Rule::OldForm, "of OpenNebula 6"),
        ("/deploymnt", json!("straight"), Rule::Misspelled, "write \"deployment\""),
        ("/sched_action", json!([{"ACTION": "hold"}]), Rule::Scheduled, "scheduled actions"),
        ("/scheduled_policies", json!([{"type": "CHANGE"}]), Rule::Scheduled, "policies"),
        ("/networks", json!([]), Rule::Shape, "no object"),
        ("/networks/zone", json!("M|network|The zone's network"), Rule::Network, "3 fields"),
        ("/networks/zone", json!("M|network|Zone||id:x"), Rule::Network, "no id:N"),
        ("/networks/zone", json!("M|network|Zone||name:1"), Rule::Network, "no id:N"),
        ("/networks/zone", json!("M|network|Zone||"), Rule::Network, "no id:N"),
        ("/networks/zone", json!("M|text|Zone||id:1"), Rule::Network, "type \"text\""),
        ("/networks_values", json!(["zone"]), Rule::Shape, "no object"),
        ("/user_inputs", json!({"X": "M|word|Text"}), Rule::UserInput, "type \"word\""),
        (
            "/user_inputs",
            json!({"ONEAPP_ZONEMESH_TOKEN": "M|password|T"}),
            Rule::SecretElsewhere,
            "every role",
        ),
        ("/user_inputs_values", json!({"DB_PASSWORD": "x"}), Rule::SecretElsewhere, "every role"),
        ("/roles", json!([]), Rule::Roles, "an empty list"),
        ("/roles", json!({}), Rule::Roles, "an object"),
        ("/roles/1", json!("superlink"), Rule::Shape, "no object"),
    ]
}

pub(crate) fn damages_of_a_role() -> Vec<Damage> {
    use TemplateRule as Rule;
    vec![
        ("/roles/0/name", json!("gate-way"), Rule::RoleName, "gate-way"),
        ("/roles/0/name", json!("g".repeat(35)), Rule::RoleName, "35 characters"),
        ("/roles/1/name", json!("gateway"), Rule::RoleName, "for the second time"),
        ("/roles/0/type", json!("container"), Rule::RoleType, "container"),
        ("/roles/0/type", json!(null), Rule::RoleType, "no type"),
        ("/roles/0/template_id", json!("<id>"), Rule::TemplateId, "<id>"),
        ("/roles/0/template_id", json!("12"), Rule::TemplateId, "\"12\""),
        ("/roles/0/template_id", json!(-1), Rule::TemplateId, "a number"),
        ("/roles/0/vm_template", json!(12), Rule::OldForm, "vm_template"),
        ("/roles/0/vm_template_contents", json!("NIC = []"), Rule::OldForm, "vm_template_contents"),
        ("/roles/0/min_vms", json!(2), Rule::Cardinality, "1, with min_vms 2 and max_vms 1"),
        ("/roles/0/max_vms", json!(0), Rule::Cardinality, "max_vms 0"),
        ("/roles/0/cardinality", json!(null), Rule::Cardinality, "no cardinality"),
        ("/roles/0/max_vms", json!(2), Rule::Cardinality, "several gateways"),
        ("/roles/1/parent", json!(["gateway"]), Rule::Misspelled, "write \"parents\""),
        ("/roles/1/user_input", json!({}), Rule::Misspelled, "write \"user_inputs\""),
        ("/roles/0/cardinality", json!(-1), Rule::Whole, "write 0 or more"),
        ("/roles/0/cooldown", json!("5m"), Rule::Whole, "a text"),
        ("/roles/0/on_hold", json!("no"), Rule::Boolean, "a text"),
        ("/roles/0/shutdown_action", json!("poweroff"), Rule::Choice, "poweroff"),
        ("/roles/0/template_contents", json!("NIC = []"), Rule::Shape, "no object"),
        ("/roles/0/template_contents/NIC/0/NETWORK_ID", json!("$nowhere"), Rule::Nic, "nowhere"),
        ("/roles/0/template_contents/NIC/0/NETWORK_ID", json!("zone"), Rule::Nic, "zone"),
        (
            "/roles/0/template_contents/NIC/0",
            json!({"NAME": "NIC0"}),
            Rule::Nic,
            "neither NETWORK_ID",
        ),
        ("/roles/0/template_contents/NIC/0", json!("NIC0"), Rule::Shape, "no object"),
        ("/roles/1/parents", json!(["gatewaj"]), Rule::Parents, "write \"gateway\""),
        ("/roles/1/parents", json!("gateway"), Rule::Shape, "no list"),
        ("/roles/1/parents", json!([1]), Rule::Parents, "a number"),
        ("/roles/0/parents", json!(["gateway"]), Rule::ParentCycle, "gateway waits for gateway"),
        (
            "/roles/0/parents",
            json!(["supernode"]),
            Rule::ParentCycle,
            "supernode waits for superlink",
        ),
        ("/roles/2/scheduled_policies", json!([{"type": "CHANGE"}]), Rule::Scheduled, "policies"),
        (
            "/roles/2/template_contents/SCHED_ACTION",
            json!([{"TIME": 1}]),
            Rule::Scheduled,
            "actions",
        ),
        ("/roles/2/elasticity_policies", json!({}), Rule::Shape, "no list"),
        ("/roles/2/elasticity_policies", json!([{}]), Rule::Elasticity, "no \"type\""),
    ]
}

pub(crate) fn damages_of_values() -> Vec<Damage> {
    use TemplateRule as Rule;
    vec![
        (FEDERATION, json!("M|text|Name|x"), Rule::UserInput, "4 fields"),
        (FEDERATION, json!("M|range|Name|1-2|"), Rule::UserInput, "no range"),
        (FEDERATION, json!("M|list|Name|a,a|"), Rule::UserInput, "no list"),
        (FEDERATION, json!(7), Rule::UserInput, "a number"),
        (FEDERATION, json!("O|number|Name||"), Rule::InputValue, "refuses to instantiate"),
        ("/roles/1/user_inputs", json!({}), Rule::InputValue, "take the key out"),
        ("/roles/1/user_inputs", json!(null), Rule::InputValue, "take the key out"),
        (VALUES, json!({"ONEAPP_ZONEMESH_TOKEN": "hello"}), Rule::InputValue, "zone's folder"),
        (VALUES, json!({"ONEAPP_ZONEMESH_TOKEN": ["x"]}), Rule::InputValue, "a list"),
        (VALUES, json!({"ONEAPP_ZONEMESH_FEDERATION": "Health EU"}), Rule::InputValue, "Health EU"),
        (VALUES, json!({"ONEAPP_ZONEMESH_GATEWAY": "10.10.10"}), Rule::InputValue, "no IP:PORT"),
        (
            "/roles/2/user_inputs_values",
            json!({"ONEAPP_FL_NODE_CONFIG": "site=berlin"}),
            Rule::InputValue,
            "a text stands in quotes",
        ),
        (
            "/roles/0/user_inputs_values",
            json!({"ONEAPP_ZONEMESH_INVITATION": "hunter2"}),
            Rule::InputValue,
            "neither an invitation nor",
        ),
    ]
}

/// A value that its VM refuses, wherever it stands.
pub(crate) fn damages_of_values_elsewhere() -> Vec<Damage> {
    use TemplateRule as Rule;
    let input =
        |key: &str, text: &str| json!({"ONEAPP_ZONEMESH_INVITATION": "M|password|I", key: text});
    let inputs = |key: &str, text: &str| json!({"ONEAPP_ZONEMESH_FEDERATION": "M|text|F", "ONEAPP_ZONEMESH_TOKEN": "M|password|T", key: text});
    let of_gateway = "/roles/0/user_inputs";
    let of_superlink = "/roles/1/user_inputs";
    let of_supernode = "/roles/2/user_inputs";
    let values = "/roles/2/user_inputs_values";
    let context = "/roles/1/template_contents/CONTEXT";
    let of_peer = "/roles/0/template_contents/CONTEXT/ONEAPP_WG_PEER_PUBLIC_KEY";
    let nic = "/roles/0/template_contents/NIC/0/IP";
    vec![
        (values, json!({"ONEAPP_FL_LOG_LEVEL": "LOUD"}), Rule::InputValue, "none of DEBUG"),
        (
            values,
            json!({"ONEAPP_FL_GRPC_KEEPALIVE_TIME": "30"}),
            Rule::InputValue,
            "all ends of all zones keep 60 s",
        ),
        (values, json!({"ONEAPP_FL_NODE_CONFIG": 5}), Rule::InputValue, "\"5\" is no key=value"),
        (values, json!({"ONEAPP_FL_NODE_CONFIG": [5]}), Rule::InputValue, "a list"),
        ("/user_inputs_values", json!({"ONEAPP_FL_LOG_LEVEL": "x"}), Rule::InputValue, "none of"),
        (
            of_superlink,
            inputs("ONEAPP_FL_TLS_ENABLED", "O|boolean|t||NO"),
            Rule::InputValue,
            "the default \"NO\": Flower never runs without TLS",
        ),
        (
            of_supernode,
            inputs("ONEAPP_FL_NODE_CONFIG", "O|text|n||site=berlin"),
            Rule::InputValue,
            "the default \"site=berlin\"",
        ),
        (
            of_gateway,
            input("ONEAPP_ZONEMESH_ENDPOINT", "O|text|n||http://foo"),
            Rule::InputValue,
            "the default \"http://foo\"",
        ),
        (context, json!({"ONEAPP_FL_TLS_ENABLED": "NO"}), Rule::InputValue, "without TLS across"),
        (context, json!({"ONEAPP_FL_GRPC_KEEPALIVE_TIME": 30}), Rule::InputValue, "keep 60 s"),
        (of_peer, json!("abc"), Rule::InputValue, "a key is 44 characters of base64"),
        (nic, json!("10.77.99.300"), Rule::Nic, "no IP address"),
    ]
}

pub(crate) fn damages_of_missing_keys() -> Vec<Damage> {
    use TemplateRule as Rule;
    let [of_gateway, of_superlink, of_supernode] =
        ["/roles/0/user_inputs", "/roles/1/user_inputs", "/roles/2/user_inputs"];
    vec![
        (
            of_gateway,
            json!({"ONEAPP_ZONEMESH_ENDPOINT": "O|text|E||"}),
            Rule::MissingKey,
            "no ONEAPP_ZONEMESH_INVITATION, nor ONEAPP_ZONEMESH_CONFIG",
        ),
        (
            of_supernode,
            json!({"ONEAPP_ZONEMESH_FEDERATION": "M|text|Name"}),
            Rule::MissingKey,
            "no ONEAPP_ZONEMESH_TOKEN, nor ONEAPP_FL_SUPERLINK_ADDRESS",
        ),
        (
            of_superlink,
            json!({"ONEAPP_ZONEMESH_FEDERATION": "M|text|Name"}),
            Rule::MissingKey,
            "add to its \"user_inputs\": \"ONEAPP_ZONEMESH_TOKEN\": \"M|password|",
        ),
    ]
}

pub(crate) fn damages_of_keys() -> Vec<Damage> {
    use TemplateRule as Rule;
    let reference = json!("${gateway.template.context.oneapp_zonemesh_invitation}");
    vec![
        ("/roles/1/user_inputs", json!([]), Rule::Shape, "no object"),
        ("/roles/1/user_inputs_values", json!([]), Rule::Shape, "no object"),
        (TOKEN, json!("M|text|Bootstrap token"), Rule::Secret, "that is shown"),
        (TOKEN, json!("M|password|Token||x"), Rule::Secret, "take the default out"),
        (
            "/roles/0/user_inputs/ONEAPP_ZONEMESH_TOKEN",
            json!("M|password|T"),
            Rule::SecretElsewhere,
            "in a gateway",
        ),
        (
            "/roles/1/template_contents/DESCRIPTION",
            reference,
            Rule::SecretElsewhere,
            "another role's VM",
        ),
        (
            "/roles/1/user_inputs/ONEAPP_ZONEMESH_LISTEN",
            json!("O|text|T||"),
            Rule::UnknownKey,
            "which gateway reads",
        ),
        (
            "/roles/1/user_inputs/ONEAPP_ZONEMESH_FEDERATIN",
            json!("M|text|T"),
            Rule::UnknownKey,
            "ZONEMESH_FEDERATION",
        ),
        (
            "/roles/1/template_contents/CONTEXT/ONEAPP_ZONEMESH_X",
            json!("1"),
            Rule::UnknownKey,
            "nobody reads",
        ),
        ("/roles/1/template_contents/CONTEXT/REPORT_READY", json!("YES"), Rule::Context, "\"YES\""),
        ("/roles/1/template_contents/CONTEXT/TOKEN", json!("NO"), Rule::Context, "\"NO\""),
        ("/roles/1/template_contents/CONTEXT/NETWORK", json!(true), Rule::Context, "true or false"),
        (CONTEXT, json!(null), Rule::Context, "no CONTEXT"),
        (CONTEXT, json!("TOKEN=YES"), Rule::Shape, "no object"),
    ]
}
