"""From a recording to one row of the table."""
import math
import statistics
from collections import Counter

import graphs

# Levels of the tree that tree.py builds by default: t_ and nine below it.
TREE_LEVELS = 6
# A hundred rows are judged at a time: what happens less often than this is no chance.
CHANCE = 0.001
EXAMPLES = 5
# Share of stacks with a caller on a wrong line, where native code lets generators run on (3.11).
GENERATOR_LINES = 0.005


def row(target, rate, seconds, recordings, truth):
    """What recordings of `seconds` in all say, against the target's graph and its own counts.

    Shares of stacks (impossible, rootless, cut) are of the samples kept; depth,
    levels and self time are those of the stacks that were not cut. All shares
    are fractions; counts are samples.
    """
    verdicts, self_time, levels, reasons = Counter(), Counter(), Counter(), Counter()
    kept = cut = whole = depth = false = 0
    examples = []
    for stack in (stack for recording in recordings for stack in recording.stacks):
        kept += stack.count
        verdict, reason = graphs.judge(target.name, target.interpreter.version, stack.frames)
        verdicts[verdict] += stack.count
        if verdict != "true":
            false += stack.count
            reasons[reason] += stack.count
            if len(examples) < EXAMPLES:
                examples.append({"verdict": verdict, "reason": reason, "cut": stack.cut,
                                 "count": stack.count,
                                 "stack": [graphs.show(frame) for frame in stack.frames]})
        if stack.cut:
            cut += stack.count
            continue
        whole += stack.count
        depth += stack.count * len(stack.frames)
        name = stack.frames[-1].name if stack.frames else ""
        self_time[name] += stack.count
        if name.startswith("t_"):
            levels[len(name) - 2] += stack.count
    asked = rate * seconds
    # Deadlines that the machine let pass are missed looks, not failed ones; the tools that count them say so.
    missed, failed = (sum(r.said.get(key, 0) for r in recordings) for key in ("missed", "failed"))
    kept_or_one, whole_or_one = kept or 1, whole or 1
    result = {
        "took_seconds": sum(recording.end - recording.begin for recording in recordings) / 1e9,
        "asked": asked, "samples": kept, "kept": kept / asked,
        "missed": missed / asked, "failed_looks": failed, "looks": asked - missed, "cut": cut / kept_or_one,
        "impossible": verdicts["impossible"] / kept_or_one,
        "impossible_samples": verdicts["impossible"],
        "misplaced": verdicts["misplaced"] / kept_or_one,
        "misplaced_samples": verdicts["misplaced"],
        "rootless": verdicts["rootless"] / kept_or_one,
        "rootless_samples": verdicts["rootless"],
        "depth": depth / whole_or_one,
        "self": {name: count / whole_or_one for name, count in self_time.most_common(30)},
        "reasons": reasons.most_common(EXAMPLES), "examples": examples, "said": recordings[-1].said,
    }
    if target.name == "tree":
        result["level_leaf"] = levels[TREE_LEVELS] / whole_or_one
        result["level_above"] = levels[TREE_LEVELS - 1] / whole_or_one
    if truth and "ns" in truth:
        result["self_time_variation"] = variation(self_time, truth["ns"])
        total = sum(truth["ns"].values())
        result["true_self"] = {name: ns / total for name, ns in truth["ns"].items()}
        result["self_time_noise"] = sampling_noise(truth["ns"], whole)
    if truth and "rounds" in truth:
        result.update(slowdown(truth["rounds"], recordings))
    return result


def variation(measured, true):
    """Total variation distance of two distributions given as weights (0 to 1)."""
    ours, theirs = sum(measured.values()) or 1, sum(true.values()) or 1
    return sum(abs(measured.get(name, 0) / ours - true.get(name, 0) / theirs)
               for name in set(measured) | set(true)) / 2


def sampling_noise(true, samples):
    """Expected total variation of that many independent, perfect samples."""
    if not samples:
        return 1.0
    total = sum(true.values())
    shares = [weight / total for weight in true.values()]
    return sum(math.sqrt(2 / math.pi * p * (1 - p) / samples) for p in shares) / 2


def _typical(values):
    """The lowest fifth: above it, other programs of the machine are measured too."""
    values = sorted(values)
    return values[len(values) // 5] if values else float("nan")


def slowdown(rounds, recordings):
    """Ratio of a round's time with the tool to that without, in one process.

    Each recording is compared with the rounds since the one before it and those
    until the next; the ratio is the middle one. The tool's start and end (reading
    symbols, writing files) are left out: half a second after it began and a fifth
    before it ended.
    """
    ratios = {1: [], 2: []}
    borders = [0] + [r.end for r in recordings] + [r.begin for r in recordings] + [1 << 63]
    for recording in recordings:
        begin, end = recording.begin + 500_000_000, recording.end - 200_000_000
        before = max(border for border in borders if border < recording.begin)
        after = min(border for border in borders if border > recording.end)
        seen = [r for r in rounds if r[0] >= begin and r[0] + r[1] <= end]
        alone = [r for r in rounds
                 if before < r[0] and r[0] + r[1] < recording.begin
                 or recording.end < r[0] and r[0] + r[1] < after]
        for column, found in ratios.items():
            if seen and alone:
                found.append(_typical(r[column] for r in seen) / _typical(r[column] for r in alone))
    middle = {column: statistics.median(found) if found else float("nan")
              for column, found in ratios.items()}
    return {"slowdown_wall": middle[1], "slowdown_cpu": middle[2], "slowdown_each": ratios[1]}


def chance_of_at_least(count, expected):
    """P(X >= count) for a Poisson variable: is a count more than a limit explains?"""
    term = total = math.exp(-expected)
    for k in range(1, int(math.ceil(count))):
        term *= expected / k
        total += term
    return 1.0 if count <= 0 else max(0.0, 1 - total)


def untrue(result, leaf, generators=False):
    """What no kept stack may be, and how many looks must bring one, as words; holds on a busy machine too."""
    found = []
    limit = 0.001 if leaf == "empty" or leaf.isdigit() and int(leaf) < 1000 else 0.0002
    # A few thousand samples cannot show 0.02 %: blame only what chance does not explain.
    if chance_of_at_least(result["impossible_samples"], limit * result["samples"]) < CHANCE:
        found.append("impossible over %g %%" % (limit * 100))
    # A caller that lies in the heap and its callee are read in no order of theirs.
    line_limit = GENERATOR_LINES if generators else limit
    if chance_of_at_least(result["misplaced_samples"], line_limit * result["samples"]) < CHANCE:
        found.append("callers on wrong lines over %g %%" % (line_limit * 100))
    if result["rootless_samples"]:
        found.append("rootless stacks")
    if chance_of_at_least(result["failed_looks"], 0.001 * result["looks"]) < CHANCE:
        found.append("kept under 99.9 %")
    return found


def misses(result, leaf, rate, halted, unwatched, generators=False):
    """Goals this row misses, as words.

    `halted` is a halted tool's row, or None. `unwatched` bounds the leaf level's
    share without any observer, or is None: a halt leaves cold caches behind, in
    which the inner functions take longer, so that the halted share is the lower
    one. A measured share is right if it is near either.
    """
    found = untrue(result, leaf, generators)
    cut_limit = {"work": 0.10, "20000": 0.005}.get(leaf)
    if cut_limit is not None and rate == 1000 and result["cut"] > cut_limit:
        found.append("cut over %g %%" % (cut_limit * 100))
    if result.get("self_time_variation", 0) > 0.03:
        found.append("self time off by more than 3 %")
    if result.get("slowdown_wall", 1) > 1.02:
        found.append("slowdown over 1.02")
    if halted and leaf != "empty":
        if halted["depth"] and abs(result["depth"] / halted["depth"] - 1) > 0.01:
            found.append("mean depth off by more than 1 %")
        if "level_leaf" in result and "level_leaf" in halted:
            accepted = [halted["level_leaf"], *(unwatched or ())]
            if not min(accepted) - 0.03 <= result["level_leaf"] <= max(accepted) + 0.03:
                found.append("leaf level off by more than 3 points")
    return found
