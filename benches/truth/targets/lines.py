"""Callers whose lines say which function they called.

l_caller calls l_12 on its line 12, and no other line of it does. l_12 lies on four lines of its own, from
callee_line(12) on, and does one of three things on the third of them:

l_12, l_15, ...  nothing but work
l_13, l_16, ...  calls m_13, which has four lines of its own too
l_14, l_17, ...  takes from g_14, a generator on four lines of its own, which lies outside the data stack

A caller on another line than the function above it names, or a function on another's lines, mixes two moments.
"""
import common

CALLEES = 60
KINDS = ("work", "call", "generator")


def callee_line(line):
    """First of the four lines of l_<line>; the checker computes the same."""
    return 1000 + 4 * line


def inner_line(line):
    """First of the four lines of m_<line> or g_<line>; the checker computes the same."""
    return 2000 + 4 * line


def function(name, line, third, fourth):
    # Frames of different sizes, so that one's fields do not lie where another's were.
    return ["def %s(n):" % name, "    %s0" % "".join("v%d = " % k for k in range(1 + line % 7)), third, fourth]


def source(rounds):
    lines = ["def l_caller():"]
    for line in range(2, 2 + CALLEES):
        lines.append("    l_%d(%d)" % (line, rounds))
    for line in range(2, 2 + CALLEES):
        lines += [""] * (callee_line(line) - 1 - len(lines))
        kind = KINDS[line % 3]
        if kind == "work":
            lines += function("l_%d" % line, line, "    while n:", "        n -= 1")
        elif kind == "call":
            lines += function("l_%d" % line, line, "    m_%d(n)" % line, "    v0 = n")
        else:
            lines += function("l_%d" % line, line, "    for v0 in g_%d(n):" % line, "        n = v0")
    for line in range(2, 2 + CALLEES):
        lines += [""] * (inner_line(line) - 1 - len(lines))
        kind = KINDS[line % 3]
        if kind == "call":
            lines += function("m_%d" % line, line, "    while n:", "        n -= 1")
        elif kind == "generator":
            lines += function("g_%d" % line, line, "    while n > 0:", "        n -= 5; yield n")
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
