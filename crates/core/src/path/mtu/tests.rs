//! The search for a path MTU over paths with holes, loss and change.

use super::*;

const DELAY: Duration = Duration::from_millis(20);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A path that lets packets up to `border` pass, except for every `loses`th.
struct Path {
    search: MtuSearch,
    border: u16,
    loses: u32,
    alive: bool,
    /// Small probes are answered once a second.
    alive_at: Duration,
    sent: u32,
    now: Duration,
    changes: Vec<MtuChange>,
}

impl Path {
    fn new(ceiling: u16, border: u16) -> Self {
        let search = MtuSearch::new(ceiling);
        let (now, changes) = (ms(1), Vec::new());
        let alive_at = Duration::ZERO;
        Self { search, border, loses: 0, alive: true, alive_at, sent: 0, now, changes }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            if self.alive && self.now >= self.alive_at + ms(1_000) {
                self.alive_at = self.now;
            }
            let (sizes, change) = self.search.poll(self.now, DELAY, self.alive_at);
            self.changes.extend(change);
            for size in sizes {
                self.sent += 1;
                let lost = self.loses > 0 && self.sent.is_multiple_of(self.loses);
                if self.alive && size <= self.border && !lost {
                    self.search.handle_answer(size);
                }
            }
            self.now += ms(50);
        }
    }
}

#[test]
fn a_path_without_a_hole_is_confirmed_by_one_probe() {
    let mut path = Path::new(1420, 9000);
    path.run(ms(9_000));
    assert_eq!((path.search.mtu(), path.sent), (1420, 1));
    assert!(path.search.is_confirmed() && !path.search.is_black_hole());
    assert_eq!(path.changes, []);
}

#[test]
fn every_border_is_found_to_the_byte() {
    for border in [576, 577, 600, 1000, 1239, 1240, 1241, 1280, 1320, 1418, 1419] {
        let mut path = Path::new(1420, border);
        path.run(ms(7_000));
        assert_eq!(path.search.mtu(), border, "{border}");
        assert_eq!(path.changes, [MtuChange { from: 1420, to: border }], "{border}");
        assert!(path.search.is_black_hole());
    }
}

#[test]
fn less_than_the_least_is_not_believed() {
    let mut path = Path::new(1420, 300);
    path.run(ms(9_000));
    assert_eq!(path.search.mtu(), SMALLEST_MTU);
}

#[test]
fn packets_pass_long_before_the_border_is_known() {
    let mut path = Path::new(1420, 1240);
    path.run(ms(2_600));
    assert!(path.search.mtu() <= 1240, "{}", path.search.mtu());
    assert!(path.search.mtu() > 1100);
    assert!(!path.search.is_black_hole(), "nobody is told before it is sure");
}

#[test]
fn a_hole_that_opens_later_is_found_and_one_that_closes_is_left() {
    let mut path = Path::new(1420, 1420);
    path.run(ms(60_000));
    path.border = 1300;
    path.run(ms(16_000));
    assert_eq!(path.search.mtu(), 1300);
    path.border = 1420;
    path.run(ms(21_000));
    assert_eq!(path.search.mtu(), 1420);
    let (down, up) = (MtuChange { from: 1420, to: 1300 }, MtuChange { from: 1300, to: 1420 });
    assert_eq!(path.changes, [down, up]);
}

#[test]
fn a_hole_that_moves_is_followed_both_ways() {
    let mut path = Path::new(1420, 1240);
    path.run(ms(7_000));
    for border in [1100, 1350, 900] {
        path.border = border;
        path.run(ms(30_000));
        assert_eq!(path.search.mtu(), border);
    }
}

#[test]
fn loss_is_no_hole() {
    for loses in [2, 3, 5] {
        let mut path = Path::new(1420, 1420);
        path.loses = loses;
        path.run(ms(300_000));
        assert_eq!(path.search.mtu(), 1420, "every {loses}th lost");
        assert_eq!(path.changes, []);
    }
}

#[test]
fn a_dead_path_is_no_hole() {
    let mut path = Path::new(1420, 1420);
    path.run(ms(1_000));
    path.alive = false;
    path.run(ms(120_000));
    assert_eq!((path.search.mtu(), path.changes.len()), (1420, 0));
}

/// What two gateways with one key do to a third: its packets reach the one and the other by turns.
#[test]
fn a_path_that_comes_and_goes_is_no_hole() {
    for (away_most, there_most) in [(1_000, 300), (2_000, 500), (4_000, 1_500), (8_000, 8_000)] {
        let mut path = Path::new(1420, 1420);
        path.run(ms(1_000));
        let mut random = 12_345_u64;
        let mut upto = |most: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ms(50 + (random >> 33) % most)
        };
        for _ in 0..5_000 {
            path.alive = false;
            path.run(upto(away_most));
            path.alive = true;
            path.alive_at = path.now;
            path.run(upto(there_most));
        }
        assert_eq!(path.changes, [], "up to {away_most} ms away and {there_most} ms there");
    }
}

#[test]
fn a_search_that_an_outage_cuts_off_leaves_nothing_half_known() {
    for cut_at in [700, 1_500, 2_200, 3_000, 4_000] {
        let mut path = Path::new(1420, 1320);
        path.run(ms(cut_at));
        path.alive = false;
        path.run(ms(20_000));
        path.alive = true;
        path.run(ms(15_000));
        assert_eq!(path.search.mtu(), 1320, "cut at {cut_at} ms");
    }
}

#[test]
fn the_ceiling_moves_what_was_not_lowered() {
    let mut path = Path::new(1420, 9000);
    path.search.set_ceiling(1390, path.now);
    assert_eq!(path.search.mtu(), 1390);
    path.search.set_ceiling(1420, path.now);
    assert_eq!(path.search.mtu(), 1420);
    path.border = 1240;
    path.run(ms(7_000));
    path.search.set_ceiling(1390, path.now);
    assert_eq!(path.search.mtu(), 1240);
    path.border = 9000;
    path.run(ms(1_000));
    assert_eq!(path.search.mtu(), 1390, "another path is tried at once");
}
