"""What the data plane is to reach beside its peers, as ratios within one run.

Owns the table of goals. A ratio is taken between two samples of the same round and test, which
were measured within seconds of each other; a goal looks at the median of these ratios. Refuses to
know where samples come from.
"""

import dataclasses
import statistics

OURS = "zonemesh"
#: The same program before a change, in a run of `bench.py versions`.
OLD = "old"
TCP1 = ("tcp1_h2h_fwd", "tcp1_h2h_rev")
TCP4 = ("tcp4_h2h_fwd", "tcp4_h2h_rev")


@dataclasses.dataclass(frozen=True)
class Goal:
    """One line of the table."""

    what: str
    metric: str
    tests: tuple
    against: str
    #: ">=" or "<=".
    sense: str
    must: float
    ambition: float | None = None
    mode: str = "seg"
    #: Compares the figure itself, not a ratio.
    absolute: bool = False

    def met_by(self, ratio):
        """In a word."""
        if not self._reaches(ratio, self.must):
            return "MISSED"
        return "ambition" if self._reaches(ratio, self.ambition) else "met"

    def _reaches(self, ratio, bound):
        if bound is None:
            return False
        return ratio >= bound if self.sense == ">=" else ratio <= bound


GOALS = [
    Goal("TCP, 1 stream", "mbps", TCP1, "relay-gso-chacha", ">=", 1.0, 1.25),
    Goal("TCP, 4 streams", "mbps", TCP4, "relay-gso-chacha", ">=", 1.0, 1.25),
    Goal("TCP, 1 stream", "mbps", TCP1, "gotatun", ">=", 4, 4.5),
    Goal("TCP, 4 streams", "mbps", TCP4, "gotatun", ">=", 4, 4.5),
    Goal("TCP, 1 stream", "mbps", TCP1, "boringtun", ">=", 7, 9),
    Goal("TCP, 4 streams", "mbps", TCP4, "boringtun", ">=", 5.5, 7),
    Goal("daemon CPU per byte", "cpu_s_per_gb", TCP1, "gotatun", "<=", 0.23, 0.18),
    Goal("daemon CPU per byte", "cpu_s_per_gb", TCP1, "boringtun", "<=", 0.18, 0.14),
    Goal("UDP 64 B, packets/s", "pps", ("udp64",), "gotatun", ">=", 1.05, 1.2),
    Goal("ping idle, p50", "p50_us", ("ping_idle",), "gotatun", "<=", 0.9, 0.6),
    Goal("ping under load, p50", "p50_us", ("ping_load",), "gotatun", "<=", 0.4, 0.3),
    Goal("memory, 1 peer", "rss_mb", ("memory",), "gotatun", "<=", 1.0, 0.6),
    Goal("memory, 1000 peers", "rss_1000_mb", ("memory",), "gotatun", "<=", 0.5, 0.4),
    Goal("TCP retransmits, 1 stream", "retransmits", TCP1, OURS, "<=", 10, 0, absolute=True),
    Goal("TCP retransmits, 4 streams", "retransmits", TCP4, OURS, "<=", 10, 0, absolute=True),
    Goal("TCP, 1 stream", "mbps", TCP1, "gotatun", ">=", 1.2, mode="off"),
    # A change keeps what there was: CPU per byte as old / new would read, 1 / 0.95.
    Goal("TCP, 1 stream", "mbps", TCP1, OLD, ">=", 0.95, 1.0),
    Goal("TCP, 4 streams", "mbps", TCP4, OLD, ">=", 0.95, 1.0),
    Goal("daemon CPU per byte, 1 stream", "cpu_s_per_gb", TCP1, OLD, "<=", 1 / 0.95, 1.0),
    Goal("daemon CPU per byte, 4 streams", "cpu_s_per_gb", TCP4, OLD, "<=", 1 / 0.95, 1.0),
]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A goal and what was measured."""

    goal: Goal
    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def word(self):
        """MISSED, met or ambition."""
        return self.goal.met_by(self.ratio)


def judge(samples):
    """A verdict for each goal that the samples say something about."""
    verdicts = []
    for goal in GOALS:
        ratios = _ratios(goal, samples)
        if ratios:
            middle = statistics.median(ratios)
            verdicts.append(Verdict(goal, middle, min(ratios), max(ratios), len(ratios)))
    return verdicts


def _ratios(goal, samples):
    ours, theirs = {}, {}
    for sample in samples:
        if sample["mode"] != goal.mode or sample["test"] not in goal.tests:
            continue
        value, key = sample.get(goal.metric), (sample["round"], sample["test"])
        if value is None:
            continue
        if sample["peer"] == OURS:
            ours[key] = value
        if sample["peer"] == goal.against:
            theirs[key] = value
    if goal.absolute:
        return list(ours.values())
    return [ours[key] / theirs[key] for key in ours if theirs.get(key)]
