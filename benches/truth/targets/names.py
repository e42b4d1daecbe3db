"""Functions that die, so that the addresses of their code are used again.

f_17 calls g_17, both in a file called <gen-17>, f_17 from line first_line(17)
on, g_17 six lines below. A function with another's number below it, in another's
file, or on a line of another function never existed: a stale name for a code
object that has gone.
"""
import common

ROUNDS = 0
SOURCE = """def f_{k}(n):
    {locals}
    while n:
        n -= 1
    return g_{k}({rounds})

def g_{k}(n):
    while n:
        n -= 1
"""


def first_line(k):
    """Line of `def f_k`; the checker computes the same."""
    return 1 + (k * 7) % 50


def make(k):
    """f_k, compiled afresh: its code objects die with it."""
    text = "\n" * (first_line(k) - 1) + SOURCE.format(
        k=k, rounds=ROUNDS, locals="; ".join("v%d = n" % j for j in range(1 + k % 6)))
    space = {}
    exec(compile(text, "<gen-%d>" % k, "exec"), space)
    return space["f_%d" % k]


def main():
    global ROUNDS
    args = common.options(__doc__, calls=20)
    ROUNDS = common.leaf_rounds("20000" if args.leaf == "work" else args.leaf)
    calls = range(args.calls)
    life = common.Lifetime(args.seconds)
    common.ready()
    k = 0
    while life.keep_running():
        for _ in range(20):
            k += 1
            function = make(k)
            for _ in calls:
                function(ROUNDS)


if __name__ == "__main__":
    main()
