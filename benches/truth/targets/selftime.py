"""Functions of 3 us to 300 us that count their own time.

On SIGTERM (or the end of standard input, or --seconds) prints one line of JSON:
{"ns": {name: own time}, "total_ns": ..., "unseen_share": ...}. SIGUSR1 sets the counts to zero, so
that they cover the time in which somebody looked.

No function is shorter than 3 us: below that the clock and the call cost as much
as the work. The locals are small integers, whose release (from 3.11 on after
the frame is gone, in the caller's time) costs nothing. The order is shuffled,
so that no period of the loop can beat with the sampler's.
"""
import json
import random
import signal
import sys
import time

import common

# Own time in ns, and how often a function of that length runs in one schedule.
# Short ones run more often, but not so often that calls, which no clock pair
# sees in full, weigh much: main's true share, from a halted process, is about 1 %.
LENGTHS = [(3000, 16), (5000, 12), (10000, 10), (20000, 8), (30000, 6),
           (60000, 4), (100000, 3), (200000, 2), (300000, 1)]

SOURCE = """
def s_{name}(clock=clock, own=own):
    begin = clock()
    n = {rounds}
    while n:
        n -= 1
    own[{index}] += clock() - begin
"""

# A function with time of its own before and after a call.
CALLER = """
def s_{name}(clock=clock, own=own):
    begin = clock()
    n = {rounds}
    while n:
        n -= 1
    own[{index}] += clock() - begin
    s_{callee}()
    begin = clock()
    n = {rounds}
    while n:
        n -= 1
    own[{index}] += clock() - begin
"""


def build():
    """(names, counts per name, functions with their number in a schedule)."""
    names, schedule = [], []
    own = []
    space = {"clock": time.perf_counter_ns, "own": own}

    def add(template, name, length, **more):
        text = template.format(name=name, index=len(names),
                               rounds=common.leaf_rounds(str(length)), **more)
        exec(compile(text, "<selftime>", "exec"), space)
        names.append("s_" + name)
        own.append(0)
        return space["s_" + name]

    for length, times in LENGTHS:
        schedule += [add(SOURCE, "%d" % length, length)] * times
    for length, times in LENGTHS[1:6]:
        add(SOURCE, "under_%d" % length, length)
        schedule += [add(CALLER, "over_%d" % length, length // 2,
                         callee="under_%d" % length)] * (times // 2)
    return names, own, schedule


def segments(schedule, names):
    """How often each function's clock pair runs in one pass of `schedule`."""
    times = dict.fromkeys(names, 0)
    for function in schedule:
        name = function.__name__
        if name.startswith("s_over_"):
            times[name] += 2
            times[name.replace("over", "under")] += 1
        else:
            times[name] += 1
    return [times[name] for name in names]


def loop_ns(schedule):
    """What one round of main's loop costs, the call of an empty function included.

    Making a function's frame and clearing it away is the caller's time (from
    3.11 on the locals are freed after the frame has gone).
    """
    space = {"clock": time.perf_counter_ns, "own": []}
    exec("def empty(clock=clock, own=own):\n    n = 0\n", space)
    empty = space["empty"]
    same = [empty] * len(schedule)
    best = None
    for _ in range(5):
        begin = time.perf_counter_ns()
        for function in same:
            function()
        took = (time.perf_counter_ns() - begin) / len(schedule)
        best = took if best is None or took < best else best
    return best


def main():
    args = common.options(__doc__)
    names, own, schedule = build()
    per_pass = segments(schedule, names)
    schedule = schedule * 20
    random.Random(17).shuffle(schedule)
    per_call = loop_ns(schedule)
    begin = [time.perf_counter_ns()]
    passes = [0]

    def reset(*_):
        for index in range(len(own)):
            own[index] = 0
        passes[0] = 0
        begin[0] = time.perf_counter_ns()

    signal.signal(signal.SIGUSR1, reset)
    life = common.Lifetime(args.seconds)
    common.ready()
    reset()
    while life.keep_running():
        for function in schedule:
            function()
            if life.ended:
                break
        else:
            passes[0] += 1
    total = time.perf_counter_ns() - begin[0]
    # What no clock pair saw (the outer halves of the clock's own calls, the
    # sum) passed inside the functions, but for main's loop and its calls.
    loop = passes[0] * len(schedule) * per_call
    unseen = max(0.0, total - sum(own) - loop)
    result = {name: ns + unseen * times / sum(per_pass)
              for name, ns, times in zip(names, own, per_pass)}
    result["main"] = loop
    json.dump({"ns": result, "total_ns": total, "unseen_share": unseen / total}, sys.stdout)
    print(flush=True)


if __name__ == "__main__":
    main()
