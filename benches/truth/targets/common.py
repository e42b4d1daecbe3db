"""What every target shares: its options, its handshake and when it ends.

The names made here (`main`, `keep_running`) are part of every target's call
graph, so the checker knows them. No thread and no timer of its own: either
would add stacks that say nothing about the rule under test.
"""
import argparse
import os
import select
import signal
import sys
import time

# Rounds of the leaf loop for `--leaf work`: about 2 us on a build without
# profile-guided optimisation, about 1.5 us on a distribution's.
WORK_ROUNDS = 50


def options(description, **extra):
    """Parses the options; `extra` adds `--name` with an integer default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=0.0,
                        help="end after this many seconds (0: when stdin closes or on SIGTERM)")
    parser.add_argument("--leaf", default="work",
                        help="what a leaf does: empty (about 50 ns), work (about 2 us), or a number of ns")
    for name, default in extra.items():
        parser.add_argument("--" + name, type=int, default=default)
    return parser.parse_args()


def leaf_rounds(leaf):
    """Rounds of `while n: n -= 1` that make a leaf as long as `leaf` asks.

    A number is calibrated here, once: a loop that watched the clock would
    spend its time in the clock.
    """
    if leaf == "empty":
        return 0
    if leaf == "work":
        return WORK_ROUNDS
    wanted = float(leaf)
    best = None
    for _ in range(7):
        n = 20000
        begin = time.perf_counter_ns()
        while n:
            n -= 1
        took = (time.perf_counter_ns() - begin) / 20000
        best = took if best is None or took < best else best
    return max(0, int(round((wanted - 50) / best)))


def renamed(function, names):
    """`function` with the code objects nested in it renamed by `names`.

    `<genexpr>` and `<listcomp>` say nothing about their place; a name does.
    """
    function.__code__ = _renamed_code(function.__code__, names)
    return function


def _renamed_code(code, names):
    consts = []
    for const in code.co_consts:
        if hasattr(const, "co_code"):
            const = _renamed_code(const, names)
            if const.co_name in names:
                new = names[const.co_name]
                change = {"co_name": new}
                if hasattr(const, "co_qualname"):
                    change["co_qualname"] = new
                const = const.replace(**change)
        consts.append(const)
    return code.replace(co_consts=tuple(consts))


class Lifetime:
    """Says when the target ends: `--seconds`, end of standard input, or SIGTERM."""

    def __init__(self, seconds):
        self.deadline = time.monotonic() + seconds if seconds else None
        self.ended = False
        self.watch = None
        try:
            self.watch = select.poll()
            self.watch.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
        except (OSError, ValueError, AttributeError):
            self.watch = None
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.ended = True

    def keep_running(self):
        """One look at clock and input; call it rarely (each costs about 2 us)."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.ended = True
        if self.watch is not None and self.watch.poll(0):
            try:
                if not os.read(sys.stdin.fileno(), 4096):
                    self.watch = None
                    if self.deadline is None:
                        self.ended = True
            except OSError:
                self.watch = None
        return not self.ended


def ready():
    print("ready", os.getpid(), flush=True)
