//! What tunnels carry and what they survive: addresses, lanes, path MTU, outages, keys, fail closed.

mod busy_threads;
mod endpoint_names;
mod idle_outage_of_5_minutes;
mod inner_source_of_another_zone;
mod ipv6_underlay;
mod key_rotation;
mod lanes;
mod nothing_leaves_in_the_clear;
mod path_liveness;
mod path_mtu;
mod routes_of_others;
