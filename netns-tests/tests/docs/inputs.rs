//! Inputs of real users: each kind with the tests that have one as it was given, and others that are
//! unkinder.
//!
//! The table here is what counts; docs/design/inputs.md says the same, and is written by
//! `UPDATE_REFERENCE=1 cargo nextest run -p netns-tests --test docs inputs`. Promises that every test
//! that is named exists and is run. Refuses to know what a test does: its name says it.

use netns_tests::markdown::{read, root};

use crate::security::has_function;

const DOCUMENT: &str = "docs/design/inputs.md";

/// One kind of input.
struct InputKind {
    /// What was given, in plain words.
    given: &'static str,
    /// What is right.
    right: &'static str,
    /// Tests with exactly that.
    as_given: &'static [NamedTest],
    /// Tests with something else of its kind.
    further: &'static [NamedTest],
}

struct NamedTest {
    file: &'static str,
    name: &'static str,
}

const fn test(file: &'static str, name: &'static str) -> NamedTest {
    NamedTest { file, name }
}

const SUPERNODE: &str = "crates/supernode/tests/inputs.rs";
const SUPERLINK: &str = "crates/superlink/tests/inputs.rs";
const GATEWAY: &str = "crates/gateway/tests/inputs.rs";
const GATEWAY_PROGRAM: &str = "crates/gateway/tests/program.rs";

const KINDS: [InputKind; 15] = [
    InputKind {
        given: "The shipped unit at a fresh boot, with nothing of it in /run",
        right: "it starts, also under the systemd of each Debian that is supported",
        as_given: &[test(
            "netns-tests/tests/systemd/service.rs",
            "a_gateway_starts_at_a_fresh_boot_and_after_every_kill",
        )],
        further: &[
            test(
                "netns-tests/tests/systemd/service.rs",
                "missing_folders_and_files_of_root_are_put_right_by_the_next_start",
            ),
            test(
                "netns-tests/tests/systemd/boot.rs",
                "a_broken_state_or_configuration_keeps_no_machine_from_booting_and_bars_what_is_known",
            ),
        ],
    },
    InputKind {
        given: "A SuperNode's appliance before its SuperLink, or before its gateway",
        right: "it waits: refused is told from not yet",
        as_given: &[
            test("netns-tests/tests/systemd/lives/orders.rs", "the_supernode_comes_first"),
            test(
                "crates/supernode/tests/run.rs",
                "a_plan_tells_what_may_still_come_from_what_is_refused",
            ),
        ],
        further: &[test(
            SUPERNODE,
            "a_gateway_that_only_takes_the_call_is_not_yet_and_told_in_time",
        )],
    },
    InputKind {
        given: "A network's ROUTES, which OpenNebula gives to the gateway's own NIC as well",
        right: "the tunnel is taken all the same, from whenever on the route is there, and it is said",
        as_given: &[test(
            "netns-tests/tests/scenarios/tunnel/routes_of_others.rs",
            "a_route_of_somebody_else_is_a_note_and_the_tunnel_is_taken",
        )],
        further: &[
            test(
                "netns-tests/tests/scenarios/tunnel/routes_of_others.rs",
                "a_network_at_the_interface_of_the_default_route_takes_nothing_from_a_zone",
            ),
            test(
                "netns-tests/tests/scenarios/tunnel/routes_of_others.rs",
                "whatever_the_table_local_keeps_of_a_zone_is_told_while_it_is_there",
            ),
        ],
    },
    InputKind {
        given: "A OneGate that answers 500, or nothing, while a VM boots",
        right: "it is asked again, less and less often, and READY is told until it is heard",
        as_given: &[
            test(
                GATEWAY_PROGRAM,
                "what_an_earlier_boot_has_told_is_erased_and_a_hint_is_waited_for",
            ),
            test(
                "crates/supernode/tests/run.rs",
                "it_finds_its_gateway_through_onegate_and_onegate_hears_that_it_is_ready",
            ),
        ],
        further: &[
            test(
                "netns-tests/tests/systemd/lives/onegate_away.rs",
                "a_onegate_that_is_away_for_two_minutes_at_any_moment_is_waited_for",
            ),
            test(
                "crates/appliance/tests/searched_gateway.rs",
                "whatever_onegate_does_is_not_yet_and_said_in_words",
            ),
        ],
    },
    InputKind {
        given: "`listen = '0.0.0.0:51822'`: indented, dotted or literal TOML",
        right: "the program that parses TOML says what it listens on",
        as_given: &[
            test(
                "crates/gateway/src/settings/whole.rs",
                "toml_in_every_form_is_taken_as_it_stands_there",
            ),
            test(
                GATEWAY_PROGRAM,
                "a_local_api_that_answers_is_told_until_it_was_heard_and_again_when_somebody_writes_there",
            ),
        ],
        further: &[test(GATEWAY, "a_local_api_in_any_form_of_toml_is_told")],
    },
    InputKind {
        given: "A LAN address that only CONTEXT knows, ETHn_IP",
        right: "the configuration follows from CONTEXT; 0.0.0.0 and [::] are allowed",
        as_given: &[
            test(
                GATEWAY_PROGRAM,
                "an_invitation_and_a_context_as_oned_writes_it_give_a_configuration_that_an_edit_outlives",
            ),
            test("crates/gateway/src/settings/tests.rs", "what_is_said_comes_before_what_follows"),
        ],
        further: &[
            test(
                "crates/gateway/src/places.rs",
                "the_lan_address_is_that_of_the_nic_whose_network_has_the_prefix",
            ),
            test(
                "crates/gateway/src/places.rs",
                "what_listens_everywhere_is_reached_at_the_lan_address_of_its_family",
            ),
        ],
    },
    InputKind {
        given: "An edit of zonemesh.toml on the gateway, then a reboot",
        right: "it stays, and that is said",
        as_given: &[
            test(
                "netns-tests/tests/systemd/appliance.rs",
                "a_gateway_founds_its_mesh_from_its_context_and_keeps_an_edit_over_a_boot",
            ),
            test(
                "crates/gateway/src/written.rs",
                "an_edit_stays_is_told_and_context_counts_again_when_it_is_undone",
            ),
        ],
        further: &[test(
            GATEWAY,
            "a_file_that_an_editor_has_saved_in_another_form_is_somebodys_and_stays",
        )],
    },
    InputKind {
        given: "A foreign key in context.sh (K8S-TOKEN, MY.VAR, 9PORT, not ASCII), Latin-1, a BOM",
        right: "foreign lines are passed over with a note, ours are checked",
        as_given: &[
            test(
                "crates/context/src/source/context/tests.rs",
                "lines_of_others_never_make_the_file_unreadable",
            ),
            test(
                "crates/supernode/tests/run.rs",
                "a_context_with_lines_of_others_is_read_and_names_of_ours_that_do_nothing_are_warned_of",
            ),
        ],
        further: &[
            test(SUPERNODE, "our_lines_are_read_among_whatever_others_have_written"),
            test(
                GATEWAY,
                "lines_of_others_and_names_that_do_nothing_are_said_and_the_rest_is_read",
            ),
            test(
                "crates/context/src/source/context/tests.rs",
                "a_megabyte_of_anything_is_read_in_seconds",
            ),
        ],
    },
    InputKind {
        given: "A node config `site=berlin`, or `a=1, b=2`",
        right: "Flower's own grammar is asked before its start",
        as_given: &[
            test("crates/context/src/node_config.rs", "what_flower_refuses_or_leaves_out_is_named"),
            test(SUPERNODE, "a_node_config_that_flower_does_not_take_is_refused_before_its_start"),
        ],
        further: &[
            test(SUPERNODE, "what_no_program_can_be_started_with_is_refused_with_its_length"),
            test(
                SUPERNODE,
                "flower_starts_with_the_longest_node_config_and_devices_that_are_taken",
            ),
        ],
    },
    InputKind {
        given: "A Flower that dies 6 s after its start",
        right: "READY is told once its SuperLink has the SuperNode online",
        as_given: &[test(SUPERNODE, "a_flower_that_never_gets_online_is_never_told_to_be_ready")],
        further: &[
            test(
                "crates/supernode/tests/admission.rs",
                "flower_starts_once_its_key_is_registered_and_is_ready_once_it_is_online",
            ),
            test(
                "crates/supernode/src/started.rs",
                "who_was_online_before_this_start_is_not_who_is_online_now",
            ),
        ],
    },
    InputKind {
        given: "A SuperLink on a secondary address, a NIC alias, IPv6",
        right: "the companion calls from the address that it registers",
        as_given: &[
            test(
                "netns-tests/tests/scenarios/companions/superlink_addresses.rs",
                "an_address_that_comes_later_is_registered_once_it_is_there_and_serves",
            ),
            test(SUPERLINK, "a_secondary_address_and_one_of_ipv6_are_called_from_and_registered"),
        ],
        further: &[test(
            "daemon/src/serve/local_api/authority.rs",
            "of_two_superlinks_of_one_federation_each_is_told_of_the_other",
        )],
    },
    InputKind {
        given: "State files that belong to another user",
        right: "they are taken back, or refused with their name",
        as_given: &[
            test(
                SUPERNODE,
                "files_of_another_user_in_the_state_folder_are_taken_over_or_refused_with_their_name",
            ),
            test(
                "crates/appliance/src/files.rs",
                "a_folder_that_is_to_be_our_own_is_taken_back_from_another_user",
            ),
        ],
        further: &[test(
            "crates/appliance/src/node_key.rs",
            "a_file_that_is_no_key_is_set_aside_and_another_key_made",
        )],
    },
    InputKind {
        given: "Any change of CONTEXT, such as another SSH key",
        right: "only what concerns Flower restarts it",
        as_given: &[test(
            "netns-tests/tests/systemd/lives/again.rs",
            "another_ssh_key_in_context_restarts_nothing_and_another_setting_does",
        )],
        further: &[
            test(
                "crates/supernode/src/plan.rs",
                "a_key_restarts_flower_exactly_if_flower_is_given_what_follows_from_it",
            ),
            test(
                "crates/superlink/src/plan.rs",
                "a_key_restarts_flower_exactly_if_flower_is_given_what_follows_from_it",
            ),
        ],
    },
    InputKind {
        given: "`ONEAPP_ZONEMESH_FEDERATOIN`, `ONEAPP_FL_TLS_ENABLED=NO`",
        right: "names that do nothing are said, values that cannot be are refused",
        as_given: &[
            test(
                "crates/supernode/tests/run.rs",
                "a_context_with_lines_of_others_is_read_and_names_of_ours_that_do_nothing_are_warned_of",
            ),
            test(
                "crates/appliance/tests/settings.rs",
                "keys_of_the_single_site_appliances_are_taken_or_refused_with_the_reason",
            ),
        ],
        further: &[test(
            "crates/context/src/names.rs",
            "a_name_with_a_mistake_in_its_beginning_or_in_another_case_is_no_less_ours",
        )],
    },
    InputKind {
        given: "64 SuperNodes in one role",
        right: "each has a part of the data of its own",
        as_given: &[test(SUPERNODE, "sixty_four_supernodes_of_a_role_have_sixty_four_parts")],
        further: &[
            test(
                "crates/appliance/src/partition.rs",
                "scaling_gives_no_part_twice_and_no_part_beyond_the_number_of_parts",
            ),
            test(
                "netns-tests/tests/systemd/lives/roles.rs",
                "a_role_is_scaled_from_2_to_5_to_3_while_flower_trains",
            ),
        ],
    },
];

const HEAD: &str = "# Inputs of real users

What people have given an appliance on its first real machine, what is right, and the tests that
hold it: one with the very input, and one that is unkinder. Written from the table in
`netns-tests/tests/docs/inputs.rs`, which also sees that each test exists. Part of
[DEVELOPMENT](../DEVELOPMENT.md).
";

fn document() -> String {
    let line = |what: &str, tests: &[NamedTest]| -> String {
        let one = |test: &NamedTest| format!("  [{}](../../{})\n", test.name, test.file);
        format!("- {what}:\n{}", tests.iter().map(one).collect::<String>())
    };
    let kinds = KINDS.iter().map(|kind| {
        let InputKind { given, right, as_given, further } = kind;
        let (as_given, further) = (line("as given", as_given), line("further", further));
        format!("\n## {given}\n\nRight: {right}.\n\n{as_given}{further}")
    });
    format!("{HEAD}{}", kinds.collect::<String>())
}

#[test]
fn every_kind_has_a_test_as_given_and_a_further_one_and_all_of_them_are_run() {
    for kind in &KINDS {
        assert!(!kind.as_given.is_empty() && !kind.further.is_empty(), "{}", kind.given);
        for test in kind.as_given.iter().chain(kind.further) {
            assert!(root().join(test.file).is_file(), "{} is no file", test.file);
            assert!(has_function(test.file, test.name), "{} has no {}", test.file, test.name);
            assert!(is_run(&read(test.file), test.name), "{} is not run as a test", test.name);
        }
    }
}

/// Whether one of the attributes above the function makes it a test, and none leaves it out.
fn is_run(source: &str, name: &str) -> bool {
    let head = source.split(&format!("fn {name}(")).next().unwrap_or_default();
    let above = head.rsplit("\n\n").next().unwrap_or_default();
    let marked = above.lines().any(|line| {
        matches!(line.trim(), "#[test]" | "#[tokio::test]" | "#[tokio::test(start_paused = true)]")
    });
    marked && !above.contains("#[ignore")
}

#[test]
fn the_document_says_what_the_table_says() {
    let expected = document();
    let found = std::fs::read_to_string(root().join(DOCUMENT)).unwrap_or_default();
    if std::env::var_os("UPDATE_REFERENCE").is_some() && found != expected {
        std::fs::write(root().join(DOCUMENT), &expected).expect("the document can be written");
        return;
    }
    assert!(
        found == expected,
        "{DOCUMENT} is not what the table says: UPDATE_REFERENCE=1 writes it"
    );
}

#[test]
fn a_function_that_is_no_test_or_is_left_out_is_not_taken_for_one() {
    let source = "#[test]\nfn first() {}\n\nfn second() {}\n\n#[test]\n#[ignore = \"slow\"]\nfn third() {}\n";
    let run = ["first", "second", "third"].map(|name| is_run(source, name));
    assert_eq!(run, [true, false, false]);
}
