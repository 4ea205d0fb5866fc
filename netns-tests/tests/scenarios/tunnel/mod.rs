//! What tunnels carry and what they survive: addresses, lanes, path MTU, outages, keys, fail closed.

mod busy_threads;
mod endpoint_names;
mod foreign_inner_addresses;
mod idle_outage_of_5_minutes;
mod ipv6_underlay;
mod key_rotation;
mod lanes;
mod meddling;
mod nothing_leaves_in_the_clear;
mod outer_addresses;
mod path_liveness;
mod path_mtu;
mod routes_of_others;
mod without_an_agent;
