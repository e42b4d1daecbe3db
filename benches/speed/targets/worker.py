"""What the targets of the speed bench share: work that counts itself, in rounds that are timed.

At its end a target prints one line of JSON, which benches/speed/figures.py reads:
{"names": [...], "segments": [...], "loop": name, "calls": n, "per_call": ns,
 "rounds": [[begin, wall ns, CPU ns, own ns of each name ...], ...]}
`begin` is on CLOCK_MONOTONIC, so that the bench can tell the rounds in which
somebody looked. The names and what they count are those of the truth bench's
selftime.py; a target without such work has no names.
"""
import json
import os
import random
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "truth", "targets"))

import common  # noqa: E402
import selftime  # noqa: E402

# Passes of the self-timed schedule in a round: about 10 ms.
PASSES = 4
# Half an hour of rounds of 10 ms; older ones go.
MOST_ROUNDS = 180_000


def noted(rounds, begin, cpu, own=()):
    """Notes one round, which began at those two times."""
    rounds.append((begin, time.monotonic_ns() - begin, time.thread_time_ns() - cpu) + tuple(own))
    if len(rounds) > MOST_ROUNDS:
        del rounds[:MOST_ROUNDS // 2]


class Worker:
    """Functions of 3 us to 300 us in a shuffled order: `run(loop)` calls `loop` for each round."""

    def __init__(self):
        self.names, self.own, schedule = selftime.build()
        self.segments = selftime.segments(schedule, self.names)
        self.schedule = schedule * PASSES
        random.Random(17).shuffle(self.schedule)
        self.per_call = selftime.loop_ns(self.schedule)
        self.rounds = []

    def note(self, begin, cpu):
        noted(self.rounds, begin, cpu, self.own)
        for index in range(len(self.own)):
            self.own[index] = 0

    def tell(self, loop):
        """Prints what was counted; `loop` is the function that called the work."""
        tell(self.rounds, names=self.names, loop=loop, calls=len(self.schedule), per_call=self.per_call,
             segments=[PASSES * times for times in self.segments])


def tell(rounds, **more):
    json.dump(dict(more, rounds=rounds), sys.stdout)
    print(flush=True)


# The loop of a round, as source: it must be the body of the last function of a chain.
LOOP = """
    while keep_running():
        begin, cpu = clock(), cpu_clock()
        for function in schedule:
            function()
        note(begin, cpu)
"""


def loop_space(worker, keep_running):
    """The names that LOOP needs."""
    return {"keep_running": keep_running, "clock": time.monotonic_ns, "cpu_clock": time.thread_time_ns,
            "schedule": worker.schedule, "note": worker.note}
