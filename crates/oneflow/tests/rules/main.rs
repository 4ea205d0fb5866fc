//! Each rule of a template refuses a damaged copy, and the templates that come with the program keep
//! them all: a checker that refuses nothing proves nothing.

mod damages;
mod wireguard_peer;
mod without_mesh;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zonemesh_oneflow::check::check;
use zonemesh_oneflow::render::{PlaceholderValue, RenderValues, render};
use zonemesh_oneflow::{SHIPPED, TemplateRule};

use damages::{
    TOKEN, damages_of_a_role, damages_of_keys, damages_of_missing_keys, damages_of_the_service,
    damages_of_values, damages_of_values_elsewhere,
};

const IDS: [(&str, &str); 7] = [
    ("gateway", "12"),
    ("superlink", "13"),
    ("superlink_gateway", "15"),
    ("supernode", "14"),
    ("zone_network", "0"),
    ("public_network", "1"),
    ("gateway_ip", "10.10.10.1"),
];

/// A template of the project with the IDs of one OpenNebula.
fn rendered(name: &str) -> Value {
    let template = SHIPPED.iter().find(|template| template.name == name).expect("it is shipped");
    let used = IDS.iter().filter(|(id, _)| template.text.contains(&format!("@{id}@")));
    let given = |(name, value): &(&str, &str)| PlaceholderValue {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    let values = RenderValues { placeholders: used.map(given).collect(), ..Default::default() };
    let done = render(template.text.as_bytes(), &values);
    let done = done.map(|done| done.text.to_string()).expect(name);
    serde_json::from_str(&done).expect("it is JSON")
}

/// The rules that a text breaks, with what was found.
fn broken(text: &[u8]) -> Vec<(TemplateRule, String)> {
    let checked = check(text);
    let told = |mistake: zonemesh_oneflow::TemplateMistake| {
        (mistake.rule, format!("{}: {}; {}", mistake.path, mistake.found, mistake.fix))
    };
    checked.mistakes.into_iter().map(told).collect()
}

fn broken_by(template: &Value) -> Vec<(TemplateRule, String)> {
    broken(template.to_string().as_bytes())
}

/// Puts a value at a place, also where nothing was.
fn put(template: &mut Value, place: &str, value: Value) {
    let (above, key) = place.rsplit_once('/').expect("a pointer");
    let above = template.pointer_mut(above).expect("the place above is there");
    match (above, key.parse::<usize>()) {
        (Value::Array(items), Ok(index)) => items[index] = value,
        (Value::Object(members), _) => drop(members.insert(key.to_owned(), value)),
        (other, _) => unreachable!("{place} in {other}"),
    }
}

#[test]
fn the_templates_keep_every_rule_once_they_are_rendered_and_before_that_lack_only_ids() {
    for template in SHIPPED {
        assert_eq!(broken_by(&rendered(template.name)), [], "{}", template.name);
        let unfilled: BTreeSet<_> =
            broken(template.text.as_bytes()).into_iter().map(|(rule, _)| rule).collect();
        assert_eq!(unfilled, BTreeSet::from([TemplateRule::Placeholder]), "{}", template.name);
    }
}

#[test]
fn each_rule_refuses_a_damaged_copy() {
    let whole = [TemplateRule::Json, TemplateRule::DuplicateKey, TemplateRule::Document];
    let mut tried = BTreeSet::from(whole);
    let of_services = [damages_of_the_service(), damages_of_a_role()].concat();
    let of_values = [damages_of_values(), damages_of_values_elsewhere()].concat();
    let of_values = [of_values, damages_of_missing_keys()].concat();
    let all = [of_services, of_values, damages_of_keys()].concat();
    for (place, value, rule, words) in all {
        let mut template = rendered("single-site");
        put(&mut template, place, value.clone());
        let found = broken_by(&template);
        let named = found.iter().any(|(broken, told)| *broken == rule && told.contains(words));
        assert!(named, "{place} = {value}: expected {rule:?} with {words:?} in {found:#?}");
        tried.insert(rule);
    }
    assert_eq!(tried, TemplateRule::ALL.iter().copied().collect(), "each rule has its damage");
}

#[test]
fn policies_of_elasticity_are_judged_field_by_field() {
    for (place, value, words) in [
        ("/0/type", json!("ADD"), "CARDINALITY"),
        ("/0/adjust", json!("1"), "a text"),
        ("/0/adjust", json!(0), "changes nothing"),
        ("/0/expression", json!(""), "no expression from character 1"),
        ("/0/expression", json!("CPU => 80"), "no expression from character 6"),
        ("/0/expression", json!(null), "no \"expression\""),
        ("/0/expression", json!(7), "a number"),
        ("/0/min_adjust_step", json!(0), "write 1 or more"),
        ("/0/period", json!(-1), "write 0 or more"),
        ("/0/cooldown", json!("1h"), "a text"),
        ("/1", json!("CHANGE"), "no object"),
    ] {
        let mut template = rendered("elastic-training-site");
        put(&mut template, &format!("/roles/1/elasticity_policies{place}"), value.clone());
        let found = broken_by(&template);
        assert!(
            found.iter().any(|(_, told)| told.contains(words)),
            "{place} = {value}: {found:#?}"
        );
    }
    let mut template = rendered("elastic-training-site");
    put(&mut template, "/roles/1/max_vms", json!(null));
    let found = broken_by(&template);
    assert!(
        found.iter().any(|(_, told)| told.contains("not both min_vms and max_vms")),
        "{found:?}"
    );
}

#[test]
fn all_mistakes_are_told_at_once_each_in_its_place() {
    let mut template = rendered("coordinator");
    put(&mut template, "/name", json!(""));
    put(&mut template, "/roles/0/template_id", json!("<id>"));
    put(&mut template, "/roles/1/parents", json!(["gatewaj", "superlink"]));
    let text = serde_json::to_string_pretty(&template).unwrap();
    let checked = check(text.as_bytes());
    let found: BTreeSet<_> = checked.mistakes.iter().map(|mistake| mistake.rule).collect();
    use TemplateRule as Rule;
    let expected = [Rule::Name, Rule::TemplateId, Rule::Parents, Rule::ParentCycle];
    assert_eq!(found, BTreeSet::from(expected), "{:?}", checked.mistakes);
    for mistake in &checked.mistakes {
        let line = text.lines().nth(mistake.at.line - 1).expect("the line is there");
        let key = mistake.path.rsplit('.').next().unwrap_or_default();
        let key = key.split('[').next().unwrap_or_default();
        let near = line.contains(key) || mistake.path.ends_with(']');
        assert!(near, "{mistake:?} at {line:?}");
    }
    let parent = checked.mistakes.iter().find(|mistake| mistake.rule == Rule::Parents).unwrap();
    assert_eq!(parent.path, "roles[1].parents[0]");
}

#[test]
fn what_is_no_template_is_told_as_what_it_is() {
    use TemplateRule as Rule;
    let good = rendered("gateway-only").to_string();
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let twice = good.replacen("\"type\":\"vm\"", "\"type\":\"vm\",\"type\":\"vm\"", 1);
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(good.bytes().flat_map(|b| [b, 0])).collect();
    for (text, rule, words) in [
        (b"".to_vec(), Rule::Json, "the end of the text, where a value"),
        (b"name: x".to_vec(), Rule::Json, "\"name\", where a value"),
        (good.as_bytes()[..good.len() - 1].to_vec(), Rule::Json, "the end of the text, where a"),
        (vec![b' '; (1 << 20) + 1], Rule::Json, "more than 1 MiB"),
        (utf16, Rule::Json, "UTF-16"),
        (b"{\"name\": \"\xff\"}".to_vec(), Rule::Json, "no UTF-8"),
        (nested.into_bytes(), Rule::Json, "nested deeper than 100"),
        (b"[]".to_vec(), Rule::Document, "a list"),
        (b"{\"DOCUMENT\": {\"ID\": \"1\"}}".to_vec(), Rule::Document, "no \"roles\""),
        (twice.into_bytes(), Rule::DuplicateKey, "for the second time"),
    ] {
        let found = broken(&text);
        let named = found.iter().any(|(broken, told)| *broken == rule && told.contains(words));
        assert!(named, "expected {rule:?} with {words:?} in {found:?}");
    }
}

#[test]
fn windows_line_ends_a_byte_order_mark_and_what_opennebula_prints_are_read() {
    let template = rendered("gateway-only");
    let text = serde_json::to_string_pretty(&template).unwrap();
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(broken(windows.as_bytes()), []);
    let body = |body: &Value| json!({"DOCUMENT": {"ID": "7", "TEMPLATE": {"BODY": body}}});
    assert_eq!(broken_by(&body(&template)), []);
    let mut damaged = template;
    put(&mut damaged, "/roles/0/template_id", json!("x"));
    let checked = check(body(&damaged).to_string().as_bytes());
    assert_eq!(checked.mistakes[0].path, "DOCUMENT.TEMPLATE.BODY.roles[0].template_id");
    assert_eq!(
        (checked.name.as_deref(), checked.roles),
        (Some("Zonemesh gateway"), vec!["gateway".into()])
    );
}

#[test]
fn no_value_of_a_secret_stands_in_a_mistake() {
    let mut template = rendered("single-site");
    for (role, key) in [(1, "TOKEN"), (2, "TOKEN"), (0, "TOKEN"), (1, "INVITATION")] {
        put(&mut template, &format!("/roles/{role}/user_inputs_values"), json!({}));
        let place = format!("/roles/{role}/user_inputs_values/ONEAPP_ZONEMESH_{key}");
        put(&mut template, &place, json!("zmt1.hunter2"));
    }
    let found = broken_by(&template);
    assert!(found.iter().filter(|(rule, _)| *rule == TemplateRule::SecretElsewhere).count() >= 3);
    assert!(found.iter().all(|(_, told)| !told.contains("hunter2")), "{found:?}");
}

#[test]
fn a_virtual_router_of_several_vms_floats_an_address() {
    let mut template = rendered("gateway-only");
    put(&mut template, "/roles/0/type", json!("vr"));
    assert_eq!(broken_by(&template), []);
    put(&mut template, "/roles/0/cardinality", json!(2));
    assert_eq!(broken_by(&template)[0].0, TemplateRule::Cardinality);
    put(&mut template, "/roles/0/template_contents/NIC/0/FLOATING_IP", json!("YES"));
    assert_eq!(broken_by(&template), []);
}

#[test]
fn a_role_of_gateway_and_superlink_may_hold_both_secrets_and_nothing_of_a_supernode() {
    use TemplateRule as Rule;
    assert_eq!(broken_by(&rendered("superlink-gateway")), []);
    // Its keys tell what it is, whatever its name; the name of one of the two does not.
    for (name, rules) in [("berlin", vec![]), ("superlink", vec![Rule::SecretElsewhere])] {
        let mut template = rendered("superlink-gateway");
        put(&mut template, "/roles/0/name", json!(name));
        let found = broken_by(&template);
        let found: Vec<Rule> = found.into_iter().map(|(rule, _)| rule).collect();
        assert!(rules.iter().all(|rule| found.contains(rule)), "{name}: {found:?}");
        assert_eq!(found.is_empty(), rules.is_empty(), "{name}: {found:?}");
    }
    for (place, value, rule) in [
        ("/roles/0/cardinality", json!(2), Rule::Cardinality),
        ("/roles/0/user_inputs/ONEAPP_FL_NODE_CONFIG", json!("O|text|x||"), Rule::UnknownKey),
        ("/roles/0/template_contents/CONTEXT/REPORT_READY", json!("YES"), Rule::Context),
    ] {
        let mut template = rendered("superlink-gateway");
        put(&mut template, place, value);
        let found = broken_by(&template);
        assert!(found.iter().any(|(broken, _)| *broken == rule), "{place}: {found:?}");
    }
}

/// The same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or_default() % below
    }
}

#[test]
fn whatever_is_given_ends_in_mistakes_with_a_line_or_in_a_template_that_renders_to_itself() {
    let mut noise = Noise(7);
    let pieces =
        ["\"", "{", "}", "[", ",", ":", "null", "\\", "\u{e4}", "|", "$", "@a@", "1e9", "\n"];
    let (mut valid, mut wrong) = (0, 0);
    for name in ["single-site", "elastic-training-site"] {
        let good = serde_json::to_string_pretty(&rendered(name)).expect("it is JSON");
        for _ in 0..1500 {
            let mut text = good.clone();
            for _ in 0..=noise.next(3) {
                let at = text.floor_char_boundary(noise.next(text.len()));
                let end = text.floor_char_boundary((at + noise.next(4)).min(text.len()));
                text.replace_range(at..end.max(at), pieces[noise.next(pieces.len())]);
            }
            let checked = check(text.as_bytes());
            let lines = text.matches('\n').count() + 1;
            assert!(
                checked.mistakes.iter().all(|one| (1..=lines).contains(&one.at.line)),
                "{text}"
            );
            match render(text.as_bytes(), &RenderValues::default()) {
                Ok(made) => {
                    let again = render(made.text.as_bytes(), &RenderValues::default());
                    assert_eq!(again.map(|again| again.text).ok(), Some(made.text), "{text}");
                    valid += 1;
                }
                Err(_refused) => {
                    assert!(!checked.mistakes.is_empty(), "{text}");
                    wrong += 1;
                }
            }
        }
    }
    assert!(valid > 100 && wrong > 100, "{valid} and {wrong}");
}

#[test]
fn a_secret_that_stands_where_it_does_not_belong_is_named_and_not_told() {
    const SECRET: &str =
        "zmt1.key:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w.bm90LWEtc2VjcmV0LWF0LWFsbA";
    for place in ["/roles/1/name", "/roles/1/type", "/roles/1/template_id", "/deployment", TOKEN] {
        let mut template = rendered("single-site");
        put(&mut template, place, json!(format!("M|{SECRET}|x")));
        let found = broken_by(&template);
        assert!(!found.is_empty(), "{place}");
        assert!(found.iter().all(|(_, told)| !told.contains("bm90LWEt")), "{place}: {found:?}");
    }
}
