"""Fixed work, again and again, each round timed.

Prints at its end one line of JSON: {"rounds": [[begin, wall, cpu], ...]} in ns,
begin on CLOCK_MONOTONIC, so that the runner can tell the rounds with a sampler
from those without in one and the same process.
"""
import json
import sys
import time

import common


def w_leaf(n):
    while n:
        n -= 1


def w_step(depth):
    if depth:
        return w_step(depth - 1)
    return w_leaf(40)


def w_round(times):
    for _ in range(times):
        w_step(20)


def main():
    args = common.options(__doc__, times=2000)
    rounds = []
    life = common.Lifetime(args.seconds)
    common.ready()
    while life.keep_running():
        begin, cpu = time.monotonic_ns(), time.thread_time_ns()
        w_round(args.times)
        rounds.append((begin, time.monotonic_ns() - begin, time.thread_time_ns() - cpu))
    json.dump({"rounds": rounds}, sys.stdout)
    print(flush=True)


if __name__ == "__main__":
    main()
