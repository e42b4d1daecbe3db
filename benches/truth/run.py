"""Judges profilers by stacks that cannot have happened: see benches/README.md.

    python3 benches/truth/run.py [--tool NAME ...] [--python 3.13 ...] [--target tree ...]
"""
import argparse
import json
import platform
import sys
import time

import graphs
import metrics
import pythons
import tools

DEFAULT_TARGETS = ("tree", "chains", "gens", "recursion", "selftime", "names", "lines", "slowdown")
LEAVES = {"tree": ("empty", "work", "20000"), "chains": ("empty", "work"),
          "gens": ("empty", "work"), "recursion": ("empty", "work")}
# Nineteen shares of self time need more samples than a share of false stacks.
LONGER = {"selftime": 3}
COLUMNS = ("python", "target", "leaf", "rate", "tool", "asked", "missed%", "kept%", "cut%", "impossible%",
           "rootless%", "lines%", "depth", "leaf/above%", "selftime%", "vs halt%", "slowdown")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [tool.name for tool in tools.every()]
    parser.add_argument("--tool", nargs="+", choices=known, default=known)
    parser.add_argument("--python", nargs="+", help="labels or versions, for example 3.13 '3.14 chroot'")
    parser.add_argument("--builds", choices=("all", "usual", "special"), default="all",
                        help="special ones are those without the GIL, with debug checks, with a JIT at work")
    parser.add_argument("--target", nargs="+", choices=graphs.TARGETS, default=DEFAULT_TARGETS)
    parser.add_argument("--leaf", nargs="+", help="empty, work, or nanoseconds")
    parser.add_argument("--rate", nargs="+", type=int, default=[1000, 10000])
    parser.add_argument("--seconds", type=int, default=5, help="of each recording")
    parser.add_argument("--json", help="file for all rows, with examples of false stacks")
    parser.add_argument("--check", choices=("truth", "goals"),
                        help="fail where a kept stack of pyprof is not true or a look brings none (truth), "
                             "or where it misses any goal (goals: wants a quiet machine)")
    parser.add_argument("--examples", action="store_true", help="print false stacks under their row")
    return parser.parse_args()


def percent(value, digits=2):
    return "-" if value is None else "%.*f" % (digits, value * 100)


def cells(case, name, result):
    if not result["samples"]:
        empty = ["-"] * (len(COLUMNS) - 8)
        slow = "%.3f" % result["slowdown_wall"] if "slowdown_wall" in result else "no stack"
        return [str(part) for part in case] + [name, str(result["asked"]), "0.0"] + empty + [slow]
    levels = "-"
    if "level_leaf" in result:
        levels = "%.1f/%.1f" % (result["level_leaf"] * 100, result["level_above"] * 100)
    slow = "%.3f" % result["slowdown_wall"] if "slowdown_wall" in result else "-"
    return [str(part) for part in case] + [
        name, str(result["asked"]), percent(result["missed"], 1), percent(result["kept"], 1), percent(result["cut"]),
        percent(result["impossible"], 3), percent(result["rootless"], 3), percent(result["misplaced"], 3), "%.2f" % result["depth"],
        levels, percent(result.get("self_time_variation")),
        percent(result.get("variation_from_halted")), slow]


WIDTHS = (11, 9, 6, 6, 17, 7, 7, 6, 6, 11, 9, 6, 6, 12, 9, 8, 8)


def show(parts):
    print("  ".join(part.ljust(width) if k < 5 else part.rjust(width)
                    for k, (part, width) in enumerate(zip(parts, WIDTHS))), flush=True)


def record(interpreter, name, leaf, rate, seconds, tool):
    """One recording of a fresh target, judged; or {"skipped": why} or {"failed": why}."""
    with pythons.Target(interpreter, name, leaf) as target:
        reason = tool.unfit(target)
        if reason:
            return {"skipped": reason}
        if name == "selftime":
            target.reset()
        try:
            if name == "slowdown":
                recordings, seconds = in_turns(target, rate, seconds, tool)
            else:
                recordings = [tool.record(target, rate, seconds)]
        except tools.Failed as failed:
            return {"failed": str(failed)}
        truth = target.result() if name in ("selftime", "slowdown") else None
        return metrics.row(target, rate, seconds, recordings, truth)


def in_turns(target, rate, seconds, tool, turns=4):
    """(recordings, seconds of them all), with pauses: what else the machine does changes slowly."""
    part = max(2, (seconds + 1) // 2)
    recordings = []
    for _ in range(turns):
        time.sleep(part / 2)
        recordings.append(tool.record(target, rate, part))
    time.sleep(part / 2)
    return recordings, part * turns


def wanted(interpreter, labels):
    return not labels or interpreter.label in labels or "%d.%d" % interpreter.version in labels


def main():
    args = arguments()
    found, absent = pythons.find(args.builds)
    used = [one for one in found if wanted(one, args.python)]
    chosen = [tool for tool in tools.every() if tool.name in args.tool]
    sampler_core, target_core = pythons.cores()
    print("%s, %s, sampler on core %d, target on core %d" % (
        platform.node() or "host", platform.release(), sampler_core, target_core))
    if sampler_core == target_core:
        print("skipped: all, because on one shared core nothing tears")
        return 0
    for version in absent:
        print("skipped: Python %s, because none was found (PYPROF_TEST_PYTHONS names more)" % version)
    show(COLUMNS)
    rows, skipped, missed = [], set(), []
    for interpreter in used:
        for name in args.target:
            for leaf in args.leaf or LEAVES.get(name, ("work",)):
                halted = unwatched = None
                if name == "tree" and leaf != "empty":
                    unwatched = pythons.unwatched_leaf_share(interpreter, leaf)
                    show([interpreter.label, name, leaf, "-", "(nobody looking)"] + ["-"] * 8
                         + ["%.1f to %.1f" % tuple(bound * 100 for bound in unwatched)])
                for rate in args.rate:
                    for tool in sorted(chosen, key=lambda tool: tool.name not in tools.HALTING):
                        case = (interpreter.label, name, leaf, rate)
                        result = record(interpreter, name, leaf, rate, args.seconds * LONGER.get(name, 1), tool)
                        rows.append(dict(zip(("python", "target", "leaf", "rate"), case),
                                         tool=tool.name, unwatched=unwatched, **result))
                        # Of a tree's thousand functions each share is mostly noise.
                        if halted and "self" in result and name != "tree":
                            result["variation_from_halted"] = metrics.variation(
                                result["self"], halted["self"])
                            rows[-1].update(result)
                        if "skipped" in result:
                            if tool.name != "(control)":
                                skipped.add((tool.name, name, result["skipped"]))
                            continue
                        if "failed" in result:
                            show([str(part) for part in case] + [tool.name, "failed: " + result["failed"]])
                            continue
                        show(cells(case, tool.name, result))
                        if args.examples:
                            for reason, count in result["reasons"]:
                                print("        %d x %s" % (count, reason))
                        if tool.name in tools.HALTING and result["samples"] and halted is None:
                            # The slowest rate's: fewer halts, warmer caches.
                            halted = result
                        if tool.name.startswith("pyprof"):
                            misses = (metrics.untrue(result, leaf, name == "gens") if args.check == "truth" else
                                      metrics.misses(result, leaf, rate, halted, unwatched, name == "gens"))
                            missed += [(case, tool.name, miss) for miss in misses]
    for reason in sorted({(tool, why) for tool, _, why in skipped}):
        print("skipped: %s (%s), because %s" % (
            reason[0], " ".join(sorted({name for tool, name, why in skipped if (tool, why) == reason})),
            reason[1]))
    for case, name, miss in missed:
        print("missed: %s %s: %s" % (name, " ".join(str(part) for part in case), miss))
    if args.json:
        with open(args.json, "w") as file:
            json.dump({"date": time.strftime("%Y-%m-%d %H:%M"), "kernel": platform.release(),
                       "rows": rows}, file, indent=1)
    return 1 if args.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
