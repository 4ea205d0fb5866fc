//! Faults as they were seen in the field that this stage cannot host, and the test that keeps each.
//!
//! They need a machine of another kind, a start that must fail, packets on the wire, or time.

/// A fault that a test of its own keeps.
#[derive(Debug, Clone, Copy)]
pub struct KeptElsewhere {
    /// What is wrong.
    pub fault: &'static str,
    /// The test's name.
    pub test: &'static str,
}

const fn kept(fault: &'static str, test: &'static str) -> KeptElsewhere {
    KeptElsewhere { fault, test }
}

/// All of them.
pub const ELSEWHERE: &[KeptElsewhere] = &[
    kept("all routes are flushed and VMs send on", "the_packet_filter_alone_bars_the_clear"),
    kept("the packet filter is flushed and VMs send on", "the_routes_alone_bar_the_clear"),
    kept(
        "the network's tools meddle at random",
        "sequences_of_random_meddling_are_over_2_s_after_their_last_step",
    ),
    kept(
        "another device has the tunnel's name",
        "a_device_of_somebody_else_under_the_tunnels_name_is_left_alone",
    ),
    kept(
        "IPv6 is switched off and wanted on both ends",
        "ipv6_that_is_switched_off_is_one_finding_and_ipv4_goes_on",
    ),
    kept(
        "a name has addresses of a family that is not there",
        "every_address_of_a_name_is_tried_and_a_change_followed_while_dns_may_be_away",
    ),
    kept(
        "a clock three days ahead is put right",
        "a_clock_that_is_put_right_under_a_running_gateway_ends_what_was_refused",
    ),
    kept("a busy gateway runs in real time", "a_busy_gateway_runs_first_unless_it_is_told_not_to"),
    kept(
        "55 VMs register on a slow disk",
        "status_answers_in_100_ms_while_55_changes_wait_for_a_slow_disk",
    ),
    kept(
        "the default route comes from router advertisements",
        "a_default_route_from_router_advertisements_survives_forwarding",
    ),
    kept(
        "a revoked zone comes back later",
        "a_zone_that_was_away_when_it_was_revoked_asks_and_is_told",
    ),
    kept(
        "a start with a broken file",
        "a_start_with_a_broken_file_runs_the_last_that_was_in_force_and_says_so",
    ),
    kept("one bracket where two belong", "one_bracket_where_two_belong_is_told_as_that"),
    kept("errors under -o json", "a_failure_is_one_json_object_for_who_asked_for_json"),
    kept(
        "tables wider than a terminal",
        "tables_fit_a_terminal_of_80_columns_unless_all_is_asked_for",
    ),
    kept("times that are numbers", "times_are_absolute_in_json_and_never_is_null"),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All Rust below a folder of the workspace, as one text.
    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }

    #[test]
    fn every_fault_that_is_kept_elsewhere_is_kept_by_a_test_that_there_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut text = String::new();
        for folder in ["netns-tests/tests", "daemon/tests", "crates/config/tests", "cli/tests"] {
            sources(&root.join(folder), &mut text);
        }
        for KeptElsewhere { fault, test } in ELSEWHERE {
            assert!(text.contains(&format!("fn {test}(")), "{fault}: no test is called {test}");
        }
    }
}
