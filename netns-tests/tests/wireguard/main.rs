//! The behaviour suite of WireGuard: what a gateway has to do, over the real binary, configured by
//! the real `wg`.
//!
//! Every behaviour runs twice: against `zonemesh-wg`, which has to show all of them, and against
//! Debian's `wireguard-go`, which checks the suite itself: what it is known to lack is listed by
//! name in [`WIREGUARD_GO_LACKS`], and anything else it fails is a mistake of the suite. Not part of plain
//! `cargo test` (`test = false` in Cargo.toml): needs namespaces; `make test-wireguard` runs it.

mod attack;
mod bounces;
mod clock;
mod garbage;
mod handshakes;
mod interop;
mod keepalive;
mod lifecycle;
mod offload;
mod paths;
mod priority;
mod replay;
mod sessions;
mod settings;
mod tools;

use anyhow::{Result, bail};
use netns_tests::wireguard::implementation::Implementation;

/// What an implementation is known to lack, and why.
type Lacks = [(&'static str, &'static str)];

/// wireguard-go 0.0.20220316.
const WIREGUARD_GO_LACKS: &Lacks = &[
    ("a_clock_that_went_back_is_reported_and_put_right_again", "it keeps no time over restarts"),
    (
        "a_gateway_whose_clock_went_back_is_called_back",
        "an initiation with an old time is ignored and nothing else is done",
    ),
    ("a_port_in_use_is_refused_and_the_old_one_stays", "the old socket is closed first"),
    (
        "a_better_route_brings_its_source_to_every_peer_v4",
        "which peers follow before they are spoken to anew is chance",
    ),
    ("a_better_route_brings_its_source_to_every_peer_v6", "the old source is used on"),
    ("a_better_route_is_told_to_a_silent_peer", "nothing is said to it"),
    ("a_replaced_source_address_is_given_up_v4", "the removed source is used for ever"),
    (
        "an_idle_pair_is_back_10_s_after_an_outage_of_100_s",
        "after 90 s only the next keepalive tries",
    ),
    ("an_endpoint_inside_its_own_tunnel_stays_bounded_v4", "its own datagrams are sealed again"),
    ("an_endpoint_inside_its_own_tunnel_stays_bounded_v6", "its own datagrams are sealed again"),
    ("the_first_handshake_waits_for_the_interface", "endpoint and keepalive are enough for it"),
    ("forged_icmp_cuts_no_datagram_v4", "the kernel believes the path, and cuts"),
    ("forged_icmp_cuts_no_datagram_v6", "the kernel believes the path, and cuts"),
    ("socket_is_for_its_owner_alone", "the folder is open to all (0755)"),
];

/// What wireguard-go shows only at some speeds of the machine (it asks for cookies once its queue
/// is long, and a fast machine keeps that short): printed, either way good.
const WIREGUARD_GO_UNSTEADY: &[&str] = &[
    "a_flood_of_initiations_disturbs_nobody",
    "cookies_are_for_one_address_and_port",
    // What its one reader does not look at in time is lost, whoever sent it.
    "garbage_starves_no_handshake",
    "one_source_cannot_spend_the_time_of_all",
];

/// Ours: to be empty.
const ZONEMESH_LACKS: &Lacks = &[];

/// Turns the outcome of a behaviour round if it is known to be lacking.
fn as_known(lacks: &Lacks, name: &str, outcome: Result<()>) -> Result<()> {
    let known = lacks.iter().find(|(lacking, _)| *lacking == name);
    match (known, outcome) {
        (None, outcome) => outcome,
        (Some((_, why)), Ok(())) => {
            bail!("{name} is listed as lacking ({why}), but it passed: take it off the list")
        }
        (Some((_, why)), Err(error)) => {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "lacking, as known: {why}\n{error:#}")?;
            Ok(())
        }
    }
}

/// Prints why a behaviour was not shown, for those whose outcome decides nothing.
fn printed(outcome: Result<()>) -> Result<()> {
    if let Err(error) = outcome {
        use std::io::Write as _;
        writeln!(std::io::stderr(), "not shown here: {error:#}")?;
    }
    Ok(())
}

/// One test per behaviour and implementation: nextest runs, times and repeats each by its name.
macro_rules! behaviours {
    ($($file:ident: $($name:ident),+;)+) => {
        mod zonemesh {
            $($(
                #[test]
                fn $name() -> anyhow::Result<()> {
                    let outcome = crate::$file::$name(crate::Implementation::Zonemesh);
                    crate::as_known(crate::ZONEMESH_LACKS, stringify!($name), outcome)
                }
            )+)+
        }

        mod wireguard_go {
            $($(
                #[test]
                fn $name() -> anyhow::Result<()> {
                    let outcome = crate::$file::$name(crate::Implementation::WireguardGo);
                    if crate::WIREGUARD_GO_UNSTEADY.contains(&stringify!($name)) {
                        return crate::printed(outcome);
                    }
                    crate::as_known(crate::WIREGUARD_GO_LACKS, stringify!($name), outcome)
                }
            )+)+
        }
    };
}

behaviours! {
    settings:
        get_shows_every_setting,
        bad_requests_get_their_errno_and_change_nothing,
        zero_takes_a_setting_away,
        update_only_and_remove_touch_no_other_peer,
        allowed_ips_that_move_leave_the_old_peer,
        ones_own_key_is_no_peer,
        a_peer_whose_key_becomes_ones_own_is_removed,
        bytes_that_are_no_text_get_an_errno,
        sixty_idle_clients_do_not_block_the_next,
        keys_are_clamped,
        allowed_ips_by_the_hundred_thousand_load_within_a_second,
        requests_share_a_connection,
        a_silent_client_holds_up_nobody,
        a_port_in_use_is_refused_and_the_old_one_stays;
    tools:
        showconf_and_setconf_are_each_others_inverse,
        addconf_adds_and_syncconf_takes_away,
        it_goes_into_the_background_for_wg_quick;
    lifecycle:
        socket_is_for_its_owner_alone,
        sigterm_ends_the_process_and_removes_socket_and_interface,
        deleting_the_interface_ends_the_process,
        kill_9_to_first_packet_takes_at_most_3_s,
        planned_restart_on_a_persistent_tun_keeps_connections;
    sessions:
        latest_handshake_is_a_unix_time,
        changing_a_setting_disturbs_no_session,
        settings_of_a_peer_start_no_handshake,
        changing_the_preshared_key_keeps_the_session,
        a_session_is_renewed_with_a_new_preshared_key_without_loss,
        preshared_keys_must_match,
        both_ips_inside_and_outside,
        sessions_are_renewed_without_loss;
    handshakes:
        the_first_handshake_waits_for_the_interface,
        two_that_begin_at_once_agree_on_one_session,
        handshakes_that_come_to_nothing_cost_no_session;
    clock:
        a_gateway_whose_clock_went_back_is_called_back,
        a_clock_that_went_back_is_reported_and_put_right_again,
        a_clock_before_1970_ends_nothing;
    paths:
        answers_leave_from_the_address_spoken_to_v4,
        answers_leave_from_the_address_spoken_to_v6,
        a_replaced_source_address_is_given_up_v4,
        a_replaced_source_address_is_given_up_v6,
        routes_that_lead_elsewhere_change_the_source_v4,
        routes_that_lead_elsewhere_change_the_source_v6,
        a_better_route_brings_its_source_to_every_peer_v4,
        a_better_route_brings_its_source_to_every_peer_v6,
        a_better_route_is_told_to_a_silent_peer,
        only_authentic_datagrams_move_an_endpoint_v4,
        only_authentic_datagrams_move_an_endpoint_v6,
        fwmark_keeps_the_tunnel_out_of_itself,
        an_endpoint_inside_its_own_tunnel_stays_bounded_v4,
        an_endpoint_inside_its_own_tunnel_stays_bounded_v6;
    bounces:
        forged_icmp_cuts_no_datagram_v4,
        forged_icmp_cuts_no_datagram_v6;
    keepalive:
        an_idle_pair_is_back_10_s_after_an_outage_of_100_s;
    replay:
        replayed_data_is_dropped_and_reordered_data_is_not,
        data_beyond_the_last_number_is_dropped,
        a_replayed_initiation_is_not_answered,
        a_forged_cookie_changes_nothing,
        bad_inner_packets_reach_nobody,
        malformed_datagrams_disturb_nothing;
    attack:
        a_flood_of_initiations_disturbs_nobody,
        cookies_are_for_one_address_and_port,
        one_source_cannot_spend_the_time_of_all;
    garbage:
        garbage_on_one_core_keeps_no_program_waiting,
        garbage_on_all_cores_keeps_no_program_waiting,
        garbage_starves_no_handshake;
}
