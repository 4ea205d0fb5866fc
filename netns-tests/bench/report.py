"""What was measured, as Markdown tables and as JSON.

Every cell is a median with the smallest and largest sample, because the machine is shared; what
was not measured is "-". Refuses to judge: goals.py does.
"""

import dataclasses
import json
import pathlib
import statistics

import goals

TCP1_V6 = ("tcp1_h2h_fwd_v6", "tcp1_h2h_rev_v6")
TCP4_V6 = ("tcp4_h2h_fwd_v6", "tcp4_h2h_rev_v6")
TCP1_G2G = ("tcp1_g2g_fwd", "tcp1_g2g_rev")
TCP4_G2G = ("tcp4_g2g_fwd", "tcp4_g2g_rev")
TCP1_G2G_V6 = ("tcp1_g2g_fwd_v6", "tcp1_g2g_rev_v6")
TCP4_G2G_V6 = ("tcp4_g2g_fwd_v6", "tcp4_g2g_rev_v6")

#: Title, tests whose samples are pooled, metric.
ROWS = [
    ("TCP 1 stream, Mbit/s", goals.TCP1, "mbps"),
    ("TCP 4 streams, Mbit/s", goals.TCP4, "mbps"),
    ("TCP 1 stream IPv6, Mbit/s", TCP1_V6, "mbps"),
    ("TCP 4 streams IPv6, Mbit/s", TCP4_V6, "mbps"),
    ("TCP 1 stream gateway to gateway, Mbit/s", TCP1_G2G, "mbps"),
    ("TCP 4 streams gateway to gateway, Mbit/s", TCP4_G2G, "mbps"),
    ("TCP 1 stream gateway to gateway IPv6, Mbit/s", TCP1_G2G_V6, "mbps"),
    ("TCP 4 streams gateway to gateway IPv6, Mbit/s", TCP4_G2G_V6, "mbps"),
    ("TCP 1 stream each way at once, Mbit/s in all", ("tcp1_h2h_both",), "mbps"),
    ("CPU of both daemons, 1 stream, s/GB", goals.TCP1, "cpu_s_per_gb"),
    ("CPU of both daemons, 4 streams, s/GB", goals.TCP4, "cpu_s_per_gb"),
    ("TCP retransmits, 1 stream", goals.TCP1, "retransmits"),
    ("TCP retransmits, 4 streams", goals.TCP4, "retransmits"),
    ("UDP 64 B, packets/s", ("udp64",), "pps"),
    ("UDP 512 B, packets/s", ("udp512",), "pps"),
    ("ping idle p50, us", ("ping_idle",), "p50_us"),
    ("ping idle p99, us", ("ping_idle",), "p99_us"),
    ("ping under load p50, us", ("ping_load",), "p50_us"),
    ("ping under load p99, us", ("ping_load",), "p99_us"),
    ("memory, 1 peer, MB", ("memory",), "rss_mb"),
    ("memory, 100 peers, MB", ("memory",), "rss_100_mb"),
    ("memory, 1000 peers, MB", ("memory",), "rss_1000_mb"),
    ("memory after load, 1 peer, MB", ("memory_after_load",), "rss_mb"),
    ("start to first ping, ms", ("memory",), "first_ping_ms"),
    ("CPU of 1000 idle peers, cores", ("memory",), "idle_1000_cores"),
]


def read(folder):
    """The samples of a run's folder."""
    text = (pathlib.Path(folder) / "samples.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def figures(samples, mode):
    """{title: {peer: (median, smallest, largest, count)}} of one WAN mode."""
    found = {}
    for title, tests, metric in ROWS:
        for sample in samples:
            if sample["mode"] == mode and sample["test"] in tests and metric in sample:
                row = found.setdefault(title, {})
                row.setdefault(sample["peer"], []).append(sample[metric])
    return {
        title: {
            peer: (statistics.median(values), min(values), max(values), len(values))
            for peer, values in row.items()
        }
        for title, row in found.items()
    }


def text(folder):
    """The whole report of a run's folder."""
    samples = read(folder)
    parts = []
    for mode in _in_order(sample["mode"] for sample in samples):
        peers = _in_order(sample["peer"] for sample in samples if sample["mode"] == mode)
        parts.append(f"### WAN mode `{mode}`: median (smallest..largest)\n")
        parts.append(_table(figures(samples, mode), peers))
    verdicts = goals.judge(samples)
    if verdicts:
        parts.append("### Goals: median of the ratios of adjacent samples\n")
        parts.append(_goal_table(verdicts))
    errors = [sample for sample in samples if "error" in sample]
    if errors:
        parts.append("### Measurements that failed\n")
        parts.extend(f"- {e['mode']} {e['peer']} {e['test']}: {e['error']}" for e in errors)
    return "\n".join(parts)


def write(folder, machine_description, settings):
    """Writes report.md and results.json beside the samples; returns the text."""
    folder = pathlib.Path(folder)
    samples, said = read(folder), text(folder)
    modes = _in_order(sample["mode"] for sample in samples)
    results = {
        "machine": machine_description,
        "settings": settings,
        "figures": {mode: figures(samples, mode) for mode in modes},
        "goals": [
            {**dataclasses.asdict(v.goal), "ratio": v.ratio, "low": v.low, "high": v.high,
             "pairs": v.pairs, "verdict": v.word}
            for v in goals.judge(samples)
        ],
        "samples": samples,
    }
    (folder / "report.md").write_text(said + "\n", encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return said


def _in_order(names):
    return list(dict.fromkeys(names))


def _table(rows, peers):
    lines = ["| | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for title, row in rows.items():
        cells = [_cell(row.get(peer)) for peer in peers]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure):
    if figure is None:
        return "-"
    middle, low, high, _count = figure
    return f"{_number(middle)} ({_number(low)}..{_number(high)})"


def _number(value):
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _goal_table(verdicts):
    lines = ["| goal | against | mode | must | ambition | measured | spread | |", "|---" * 8 + "|"]
    for verdict in verdicts:
        goal = verdict.goal
        ambition = "-" if goal.ambition is None else f"{goal.sense} {goal.ambition:g}"
        against = "(the figure itself)" if goal.absolute else goal.against
        cells = [
            goal.what, against, goal.mode, f"{goal.sense} {goal.must:g}", ambition,
            _number(verdict.ratio), f"{_number(verdict.low)}..{_number(verdict.high)}",
            verdict.word,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
