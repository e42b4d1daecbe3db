"""The arithmetic: from recordings of one tool to one row of the table."""
import re
import statistics
from collections import Counter

import cases
import metrics
import oracle

# The part of a run in which a tool does nothing but sample: its start and its end lie outside.
STEADY = (0.35, 0.80)
# How far from a recording, in ns, rounds that nobody looked at are compared with it.
NEAR = 1_500_000_000


def sampling_seconds(tool, recording, run):
    """How long the tool sampled: what it says itself, else from its first word to its end."""
    said = recording.said
    if "elapsed_ns" in said:
        return said["elapsed_ns"] / 1e9
    if tool.startswith("py-spy"):
        started = [at for at, line in run.lines if "Sampling process" in line]
        return (recording.end - started[0]) / 1e9 if started else None
    if tool == "austin":
        return int(said["duration"]) / 1e6 if "duration" in said else None
    if tool.startswith("sampling"):
        match = re.search(r"Captured [\d,]+ samples in ([\d.]+) seconds", said.get("words", ""))
        return float(match[1]) if match else None
    return None


def looks(recording, processes=1):
    """Samples of the main thread, which is there at each look; of a floor its rounds."""
    if not recording.stacks and "rounds" in recording.said:
        return recording.said["rounds"]
    return sum(stack.count for stack in recording.stacks if _of_main(stack)) / processes


def _of_main(stack):
    return bool(stack.frames) and stack.frames[0].name == "<module>"


def steady_cpu(polls, begin, end):
    """CPU time by time (1 is a core) in the steady part of a run."""
    first, last = (begin + share * (end - begin) for share in STEADY)
    inside = [poll for poll in polls if first <= poll.time <= last]
    if len(inside) < 2 or inside[-1].time == inside[0].time:
        return None
    return (inside[-1].cpu - inside[0].cpu) / (inside[-1].time - inside[0].time)


def memory_growth(polls, begin, end):
    """KiB a second in the steady part: the slope of the line of least squares."""
    first, last = (begin + share * (end - begin) for share in STEADY)
    inside = [poll for poll in polls if first <= poll.time <= last]
    if len(inside) < 3:
        return None
    times = [(poll.time - begin) / 1e9 for poll in inside]
    middle, mean = statistics.fmean(times), statistics.fmean(poll.memory for poll in inside)
    spread = sum((at - middle) ** 2 for at in times)
    return sum((at - middle) * (poll.memory - mean) for at, poll in zip(times, inside)) / spread


def true_self(told, begin, end):
    """ns by function that the target counted in the rounds between two times, or None.

    What no clock pair saw passed in the functions, shared by how often each
    ran, but for the loop and its calls (selftime.py says why).
    """
    rounds = [r for r in told["rounds"] if begin <= r[0] and r[0] + r[1] <= end]
    if not told.get("names") or not rounds:
        return None
    own = [sum(column) for column in list(zip(*rounds))[3:]]
    total = sum(r[1] for r in rounds)
    loop = len(rounds) * told["calls"] * told["per_call"]
    unseen = max(0.0, total - sum(own) - loop)
    segments = told["segments"]
    found = {name: ns + unseen * times / sum(segments)
             for name, ns, times in zip(told["names"], own, segments)}
    found[told["loop"]] = loop
    return found


def slowdown(rounds, run, others):
    """Time of a round with the tool to that of rounds nearby in which no tool ran, or None.

    `others` are the runs of all tools, this one among them, as (begin, end).
    The tool's start and end are left out: half a second and a fifth.
    """
    begin, end = run[0] + 500_000_000, run[1] - 200_000_000
    seen = [r[1] for r in rounds if r[0] >= begin and r[0] + r[1] <= end]
    alone = [r[1] for r in rounds
             if run[0] - NEAR < r[0] < run[1] + NEAR
             and not any(r[0] < other[1] and r[0] + r[1] > other[0] for other in others)]
    if len(seen) < 5 or len(alone) < 5:
        return None
    return _typical(seen) / _typical(alone)


def _typical(values):
    """The lowest fifth: above it, other programs of the machine are measured too."""
    return sorted(values)[len(values) // 5]


def turn(tool, case, version, rate, recording, run, told, runs):
    """What one recording says, as a flat dict; None where it cannot be told."""
    seconds = sampling_seconds(tool, recording, run)
    number = looks(recording, case.processes)
    # With --subprocesses, profiling.sampling starts a profiler for each child, which is not seen here.
    unseen = tool.startswith("sampling") and case.processes > 1
    cpu = None if unseen else steady_cpu(run.polls, run.begin, run.end)
    reached = recording.said.get("rate_reached") or (number / seconds if seconds else None)
    kept = cut = impossible = rootless = 0
    measured = Counter()
    for stack in recording.stacks:
        kept += stack.count
        verdict = oracle.judge(case, version, stack.frames)
        impossible += stack.count if verdict == "impossible" else 0
        rootless += stack.count if verdict == "rootless" else 0
        if stack.cut:
            cut += stack.count
        elif _of_main(stack):
            measured[stack.frames[-1].name] += stack.count
    true = true_self(told, run.begin, run.end) if told and measured else None
    return {
        "rate_reached": reached,
        "lost": None if rate >= cases.FLAT_OUT or not reached else max(0.0, 1 - reached / rate),
        "failed": failed(recording, number),
        "samples": kept, "looks": number,
        "cut": cut / kept if kept else None,
        "impossible": impossible / kept if kept else None,
        "rootless": rootless / kept if kept else None,
        "self_time_error": metrics.variation(measured, true) if true else None,
        "self_time_noise": metrics.sampling_noise(true, sum(measured.values())) if true else None,
        "cpu": cpu,
        "cpu_per_look_us": cpu / reached * 1e6 if cpu is not None and reached else None,
        "memory_kib": max((poll.peak for poll in run.polls), default=None),
        "growth_kib_s": memory_growth(run.polls, run.begin, run.end),
        "slowdown": slowdown(told["rounds"], run[:2], runs) if told else None,
    }


def failed(recording, number):
    """Looks that brought nothing, as a share of all looks that the tool says it took; None if it does not say."""
    said = recording.said
    if "failed" in said:
        rounds = said.get("rounds", number + said["failed"])
        return said["failed"] / rounds if rounds else None
    if "errors" in said:
        errors = str(said["errors"]).split("/")[0]
        return int(errors) / (int(errors) + number) if int(errors) + number else None
    match = re.search(r"Error rate: ([\d.]+)", said.get("words", ""))
    return float(match[1]) / 100 if match else None


def middle(turns):
    """The medians of several turns, column by column; counts that are shares of few are added up first."""
    row = {}
    for key in turns[0]:
        values = [one[key] for one in turns if one[key] is not None]
        row[key] = statistics.median(values) if values else None
    samples = sum(one["samples"] for one in turns)
    for key in ("cut", "impossible", "rootless"):
        if samples:
            # What happens once in thousands of samples has a median of 0.
            row[key] = sum(one[key] * one["samples"] for one in turns if one["samples"]) / samples
    row["samples"] = samples
    row["turns"] = len(turns)
    return row


def add_ratios(rows):
    """To each row of one case, its CPU time by that of the floor in the same run."""
    floor = next((row.get("cpu_per_look_us") for row in rows if row["tool"] == "(floor)"), None)
    for row in rows:
        mine = row.get("cpu_per_look_us")
        row["times_floor"] = mine / floor if mine and floor else None
