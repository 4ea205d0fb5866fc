#!/usr/bin/env python3
"""Zonemesh's data plane beside other userspace tunnels: see docs/PERFORMANCE.md.

  bench.py full      every mode, peer and test (about an hour)
  bench.py quick     the main figures of mode `seg` beside three peers (under three minutes)
  bench.py versions OLD   the zonemesh-wg built here beside an older binary, 9 rounds
  bench.py profile   where the time goes, with perf
  bench.py report FOLDER
  bench.py clean     remove what a killed run left behind

Needs root and what setup.sh installs; writes only below target/bench.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
import time

import campaign
import goals
import machine
import measure
import peers
import profiler
import report
import topology
import wan

CORE = ("tcp1_h2h_fwd", "tcp1_h2h_rev", "tcp4_h2h_fwd", "tcp4_h2h_rev")
SHORT = (*CORE, "udp64", "ping_idle", "ping_load")
QUICK = ("tcp1_h2h_fwd", "tcp1_h2h_rev", "tcp4_h2h_fwd", "udp64", "ping_idle", "ping_load")
QUICK_PEERS = "zonemesh,gotatun,boringtun,relay-gso-chacha"


def main():
    """Arguments -> session -> run -> report -> exit code."""
    arguments = _arguments()
    if arguments.command == "report":
        print(report.text(arguments.folder))
        return 0
    if os.geteuid() != 0:
        sys.exit("bench.py needs root: it makes network namespaces -> run it with sudo")
    machine.enter_own_session()
    try:
        return arguments.act(arguments)
    except KeyboardInterrupt:
        campaign.say("interrupted; everything was removed")
        return 130
    except (machine.CommandFailed, wan.WrongMode) as error:
        campaign.say(f"stopped: {error}")
        return 1


def _measure(plans, settings):
    description = machine.describe()
    folder = pathlib.Path(settings["out"])
    samples = campaign.Samples(folder)
    try:
        for plan in plans:
            campaign.run(plan, samples)
    finally:
        samples.close()
    print(report.write(folder, description, settings))
    campaign.say(f"samples, report.md and results.json are in {folder}")
    return 0


def _full(arguments):
    chosen = peers.load(arguments.peers_file, _names(arguments.peers))
    every = tuple(_names(arguments.tests) or measure.tests(1))
    plans = []
    for mode in _names(arguments.modes):
        main_mode = mode == "seg"
        tests = every if main_mode or arguments.tests else SHORT
        rounds = arguments.rounds if main_mode else max(1, arguments.rounds * 3 // 5)
        memory = rounds if main_mode and not arguments.tests else 0
        plans.append(campaign.Plan(mode, chosen, tests, rounds, arguments.seconds, memory))
    return _measure(plans, _settings(arguments, plans))


def _quick(arguments):
    chosen = peers.load(arguments.peers_file, _names(arguments.peers or QUICK_PEERS))
    tests = tuple(_names(arguments.tests) or QUICK)
    plan = campaign.Plan("seg", chosen, tests, arguments.rounds, 1, memory_rounds=1)
    return _measure([plan], _settings(arguments, [plan]))


def _versions(arguments):
    ours = peers.load(arguments.peers_file, [goals.OURS])[0]
    old = pathlib.Path(arguments.old).resolve()
    if not os.access(old, os.X_OK):
        sys.exit(f"{old} is not a program -> build zonemesh-wg of the older tree, name it here")
    before = dataclasses.replace(ours, name=goals.OLD, start=f"{old} -f {{if}}")
    plan = campaign.Plan("seg", [ours, before], CORE, arguments.rounds, arguments.seconds)
    done = _measure([plan], _settings(arguments, [plan]))
    verdicts = goals.judge(report.read(arguments.out))
    missed = [verdict.goal.what for verdict in verdicts if verdict.word == "MISSED"]
    campaign.say(f"slower than before: {', '.join(missed)}" if missed else "as fast as before")
    return 1 if missed else done


def _profile(arguments):
    folder = pathlib.Path(arguments.out)
    for peer in peers.load(arguments.peers_file, _names(arguments.peers or "zonemesh")):
        profiler.profile(peer, _names(arguments.modes)[0], folder)
    return 0


def _clean(_arguments_unused):
    topology.remove_leftovers()
    return 0


def _settings(arguments, plans):
    told = [dataclasses.asdict(plan) for plan in plans]
    for plan in told:
        plan["peers"] = [peer["name"] for peer in plan["peers"]]
    return {"command": arguments.command, "plans": told, "out": arguments.out}


def _names(text):
    return text.split(",") if text else None


def _arguments():
    default_out = machine.OUTPUT / time.strftime("%Y%m%d-%H%M%S")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    kinds = (
        ("full", _full, 5), ("quick", _quick, 3), ("versions", _versions, 9),
        ("profile", _profile, 1),
    )
    for name, act, rounds in kinds:
        command = commands.add_parser(name)
        command.set_defaults(act=act)
        command.add_argument("--peers", help="names, with commas (all that are in the file)")
        command.add_argument("--peers-file", default=peers.HERE / "peers.json")
        command.add_argument("--modes", default="seg,on,off" if name == "full" else "seg")
        command.add_argument("--tests", help=f"names, with commas: {', '.join(measure.tests(1))}")
        command.add_argument("--rounds", type=int, default=rounds)
        command.add_argument("--seconds", type=int, default=2, help="of one TCP measurement")
        if name == "versions":
            command.add_argument("old", help="the zonemesh-wg to compare with")
        command.add_argument("--out", default=str(default_out), help="folder for the results")
    commands.add_parser("report").add_argument("folder")
    commands.add_parser("clean").set_defaults(act=_clean)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
