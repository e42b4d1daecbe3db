"""A caller whose line says which function it called.

l_12 is called by `l_caller` on line 12 of <lines> and nowhere else, and lies on
four lines of its own, from 1000 + 4 * 12 on. A caller on another line than the callee above it names, or
a callee on another's line, mixes two moments.
"""
import common

CALLEES = 60


def callee_line(line):
    """First of the four lines of l_<line>; the checker computes the same."""
    return 1000 + 4 * line


def source(rounds):
    lines = ["def l_caller():"]
    for line in range(2, 2 + CALLEES):
        lines.append("    l_%d(%d)" % (line, rounds))
    for line in range(2, 2 + CALLEES):
        lines += [""] * (callee_line(line) - 1 - len(lines))
        lines += ["def l_%d(n):" % line,
                  "    %s0" % "".join("v%d = " % k for k in range(1 + line % 7)),
                  "    while n:",
                  "        n -= 1"]
    return "\n".join(lines) + "\n"


def main():
    args = common.options(__doc__)
    rounds = common.leaf_rounds(args.leaf)
    space = {}
    exec(compile(source(rounds), "<lines>", "exec"), space)
    caller = space["l_caller"]
    repeat = range(20 if rounds < 1000 else 1)
    life = common.Lifetime(args.seconds)
    common.ready()
    while life.keep_running():
        for _ in repeat:
            caller()


if __name__ == "__main__":
    main()
