"""Measures profilers beside each other on the same running programs: see benches/README.md.

    npm run bench [-- --quick] [-- --target depth-50 ...] [-- --tool pyprof py-spy ...]
"""
import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import cases
import counting
import figures
import first
import floor
import peers
import pythons
import table
import tools
from meter import Meter, nothing

# Between two recordings: rounds in which nobody looks.
PAUSE = 0.6
PROFILERS = (tools.Ours, tools.OursCli, tools.PySpy, tools.Austin, tools.Sampling)
# Profilers that read one minor version only, or not the newest: so the newest two are measured.
PYTHONS = 2


def every():
    """The tools in the order of the table; the halting profiling.sampling is an option only."""
    return [floor.Floor()] + tools.every()


def arguments():
    parser = argparse.ArgumentParser(prog="npm run bench --", description=__doc__.splitlines()[0])
    known = [tool.name for tool in every()]
    parser.add_argument("--tool", nargs="+", choices=known,
                        default=[name for name in known if name != "sampling-blocking"])
    parser.add_argument("--target", nargs="+", choices=cases.NAMES, default=cases.NAMES)
    parser.add_argument("--python", nargs="+", help="labels or versions, for example 3.13 '3.14 chroot' "
                        "(default: the newest two)")
    parser.add_argument("--rate", nargs="+", type=int, help="samples a second instead of each target's own rates; "
                        "%d is as often as the tool can" % cases.FLAT_OUT)
    parser.add_argument("--seconds", type=int, default=3, help="of each recording (default 3)")
    parser.add_argument("--turns", type=int, default=3, help="recordings by each tool, in turn (default 3)")
    parser.add_argument("--quick", action="store_true",
                        help="about two minutes: %s, one Python, one turn" % ", ".join(cases.QUICK))
    parser.add_argument("--no-calls", action="store_true", help="do not count system calls")
    parser.add_argument("--no-waits", action="store_true", help="do not measure dump and the first sample")
    parser.add_argument("--json", default="bench.json", help="the file for the result (default bench.json)")
    parser.add_argument("--add", action="store_true", help="keep what the file has of other targets and tools")
    parser.add_argument("--show", action="store_true", help="measure nothing: show the file")
    parser.add_argument("--brief", action="store_true", help="with --show: one line a target")
    parser.add_argument("--markdown", action="store_true", help="show tables in Markdown")
    args = parser.parse_args()
    # How often the first sample and dump are measured; which targets' system calls are counted.
    args.waits, args.counted = 5, cases.NAMES
    if args.quick:
        args.turns, args.seconds = 1, 2
        args.waits, args.counted = 1, cases.QUICK[:1]
        args.target = [name for name in args.target if name in cases.QUICK] or args.target
    return args


def interpreters(args):
    """(those to use, notes about those that are missing)."""
    found, absent = pythons.find("all" if args.python else "usual")
    if args.python:
        chosen = [one for one in found if one.label in args.python or "%d.%d" % one.version in args.python]
    else:
        newest = {one.version: one for one in found}
        chosen = [newest[version] for version in sorted(newest)[-(1 if args.quick else PYTHONS):]]
    return chosen, ["skipped: Python %s, because none was found (PYPROF_TEST_PYTHONS names more)" % version
                    for version in absent]


def prepared(tool, case):
    tool.idle, tool.threads, tool.subprocesses = case.idle, case.threads, case.processes > 1
    return tool


def metered(tool):
    """A Meter for it. py-spy takes as many samples as the time should have, however long that lasts."""
    return Meter(interrupt=isinstance(tool, tools.PySpy))


def measure(interpreter, case, rate, args, chosen, counter):
    """The rows of one target at one rate: all tools in turn on the same running program."""
    recordings, broken, skipped, calls = {}, {}, {}, {}
    with cases.CaseTarget(interpreter, case) as target:
        able = []
        for tool in chosen:
            # The control is for any target here: all count their rounds.
            why = None if isinstance(tool, tools.Control) else tool.unfit(target)
            if why:
                skipped[tool.name] = why
            else:
                able.append(prepared(tool, case))
        for tool in able:
            if isinstance(tool, floor.Floor):
                tool.bytes = read_by_ours(able, target, case, rate, counter)
        for number in range(args.turns):
            # Another one is first each time.
            for tool in able[number % len(able):] + able[:number % len(able)]:
                time.sleep(PAUSE)
                meter = tool.run = metered(tool)
                begin = time.monotonic_ns()
                try:
                    recording = tool.record(target, rate, args.seconds)
                    if isinstance(tool, tools.Control):
                        meter.runs.append(nothing(begin, time.monotonic_ns()))
                    recordings.setdefault(tool, []).append((recording, meter.runs))
                except tools.Failed as failed:
                    broken[tool.name] = str(failed)
        time.sleep(PAUSE)
        if counter and case.name in args.counted and not args.no_calls:
            for tool in recordings:
                if not isinstance(tool, tools.Control):
                    try:
                        calls[tool.name] = counting.per_look(
                            tool, target, rate, lambda one: figures.looks(one, case.processes), counter)
                    except tools.Failed as failed:
                        print("no count of system calls of %s: %s" % (tool.name, failed))
        told = target.result()
    runs = [run[:2] for turns in recordings.values() for _, mine in turns for run in mine]
    rows = []
    for tool in able:
        row = {"python": interpreter.label, "target": case.name, "rate": rate, "tool": tool.name}
        if tool in recordings:
            row.update(figures.middle([
                figures.turn(tool.name, case, interpreter.version, rate, recording, mine[-1], told, runs)
                for recording, mine in recordings[tool]]))
            row["calls"] = calls.get(tool.name)
            if not row["samples"] and isinstance(tool, PROFILERS):
                row["failed_with"] = "no stack in %d recordings" % row["turns"]
        else:
            row["failed_with"] = broken[tool.name]
        if isinstance(tool, floor.Floor):
            row["bytes"] = tool.bytes
        rows.append(row)
    figures.add_ratios(rows)
    return rows, skipped


def read_by_ours(able, target, case, rate, counter):
    """Bytes that our sampler reads for one look at this target, which the floor reads too."""
    ours = next((tool for tool in able if isinstance(tool, tools.Ours)), None)
    if ours is None or counter != "perf":
        return floor.BYTES
    rate = min(rate, 1000)
    return counting.bytes_per_look(ours, target, rate, figures.looks) or floor.BYTES


def waits(interpreter, chosen, times):
    """How long a user waits for each tool, on a target of depth 50."""
    case = next(case for case in cases.ALL if case.name == "depth-50")
    rows = []
    with cases.CaseTarget(interpreter, case) as target:
        dumps = first.dump_commands(target)
        for tool in chosen:
            if tool.unfit(target) or isinstance(tool, (tools.Control, floor.Floor)):
                continue
            row = {"python": interpreter.label, "tool": tool.name}
            try:
                if isinstance(tool, tools.Ours):
                    row["first_sample"], row["dump"] = first.core_alone(target)
                else:
                    row["first_sample"] = first.time_to_first_sample(prepared(tool, case), target, times)
                    row["dump"] = first.time_of_dump(dumps[tool.name], times) if tool.name in dumps else None
            except tools.Failed as failed:
                print("no waits of %s: %s" % (tool.name, failed))
                row.update({"first_sample": row.get("first_sample"), "dump": None})
            rows.append(row)
    return rows


def machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return "%s, %d cores, Linux %s" % (model, os.cpu_count(), platform.release())


def merged(old, new, keys):
    """`old` with the rows of `new` in the place of those with the same keys."""
    fresh = {tuple(row[key] for key in keys): row for row in new}
    kept = [fresh.pop(tuple(row[key] for key in keys), row) for row in old]
    return kept + list(fresh.values())


def main():
    args = arguments()
    file = Path(args.json)
    result = {"rows": [], "waits": []}
    if (args.add or args.show) and file.exists():
        result = json.loads(file.read_text())
    if args.show:
        print((table.brief if args.brief else table.whole)(result, args.markdown))
        return 0
    sampler_core, target_core = pythons.cores()
    if sampler_core == target_core:
        print("refused: sampler and target need a core each, and this process may use one only")
        return 1
    if not peers.PY_SPY.exists() and {"py-spy", "py-spy-nb", "austin"} & set(args.tool):
        try:
            peers.main()
        except Exception as error:  # noqa: BLE001 (no network, no pip: the others are measured all the same)
            print("skipped: installing the others: %s" % error)
    result.update(date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), machine=machine())
    print("%s; sampler on core %d, target on core %d" % (result["machine"], sampler_core, target_core))
    used, notes = interpreters(args)
    counter = counting.counter()
    if counter is None:
        notes.append("skipped: system calls, because neither perf nor strace works here")
    chosen = [tool for tool in every() if tool.name in args.tool]
    for interpreter in used:
        for case in (case for case in cases.ALL if case.name in args.target):
            rates = args.rate or (case.rates[:1] if args.quick else case.rates)
            for rate in rates:
                rows, skipped = measure(interpreter, case, rate, args, chosen, counter)
                result["rows"] = merged(result["rows"], rows, ("python", "target", "rate", "tool"))
                notes += ["skipped: %s on Python %s, because %s" % (name, interpreter.label, why)
                          for name, why in skipped.items()]
                print("\n" + table.whole({"rows": rows}, args.markdown), flush=True)
        if not args.no_waits:
            rows = waits(interpreter, chosen, args.waits)
            result["waits"] = merged(result["waits"], rows, ("python", "tool"))
            print("\n" + table.whole({"rows": [], "waits": rows}, args.markdown), flush=True)
    for note in sorted(set(notes)):
        print(note)
    file.write_text(json.dumps(result, indent=1) + "\n")
    print("the figures are in", file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
