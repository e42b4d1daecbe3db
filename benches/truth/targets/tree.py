"""A binary tree of functions, each of which has one caller only.

`t_` is the root, `t_01` is called by `t_0` and by nothing else. It sits above
twenty plain frames `p_00` to `p_19`, so a stack is true only if it is one path:
<module>, main, p_00 ... p_19, t_, t_0, t_01, ...
With --truth 1 it prints the leaf level's share of the time, as JSON, and ends.
Functions differ in locals and in depth of their value stack, so that the frame
of one rarely starts where the frame of another did.
"""
import json
import time

import common

PLAIN = 20


def local_lines(count, indent):
    return "".join("%sv%d = %d\n" % (indent, k, k) for k in range(count))


def tree_source(path, levels, rounds):
    """Source of the subtree below `path`, leaves `levels` further down."""
    # A cheap mix of the path's bits: neighbours get different sizes.
    seed = (int("1" + path, 2) * 2654435761) >> 7
    size = seed % 9
    if levels == 0:
        body = local_lines(size % 4, "    ")
        if rounds:
            body += "    n = %d\n    while n:\n        n -= 1\n" % rounds
        return "def t_%s():\n%s" % (path, body or "    pass\n")
    body = local_lines(size, "    ")
    if seed % 3 == 0:
        body += "    t_%s0()\n    t_%s1()\n" % (path, path)
    elif seed % 3 == 1:
        body += "    a = t_%s0()\n    return a, t_%s1()\n" % (path, path)
    else:
        body += "    return (1, (2, (3, (4, t_%s0(), t_%s1()))))\n" % (path, path)
    return ("def t_%s():\n%s" % (path, body)
            + tree_source(path + "0", levels - 1, rounds)
            + tree_source(path + "1", levels - 1, rounds))


def plain_source():
    """p_00 calls p_01 ... p_19 runs the tree until it is time to end."""
    text = ""
    for k in range(PLAIN - 1):
        text += "def p_%02d(keep_running):\n%s    return p_%02d(keep_running)\n" % (
            k, local_lines(k % 5, "    "), k + 1)
    return text + ("def p_%02d(keep_running):\n"
                   "    while keep_running():\n"
                   "        for _ in range(REPEAT):\n"
                   "            t_()\n" % (PLAIN - 1))


def leaf_share(levels, rounds):
    """Bounds of the leaf level's share of the tree's time, watched by nobody.

    Trees with full and with empty leaves run in turn. What the full one takes
    longer is leaf time for certain: the lower bound. The empty leaf itself, its
    call included, is leaf time at most: the upper bound. Each tree's fastest
    third is used, for other programs only add.
    """
    trees = []
    for count in (rounds, 0):
        space = {}
        exec(compile(tree_source("", levels, count), "<tree>", "exec"), space)
        trees.append((space["t_"], []))
    clock = time.perf_counter_ns
    until = clock() + 1_500_000_000
    while clock() < until:
        for run, took in trees:
            begin = clock()
            run()
            took.append(clock() - begin)
    full, empty = (sorted(took)[len(took) // 3] for _, took in trees)
    leaf = space["t_" + "0" * levels]
    begin = clock()
    for _ in range(20000):
        leaf()
    call = (clock() - begin) / 20000
    low = (full - empty) / full
    return {"leaf_low": low, "leaf_high": low + 2 ** levels * call / full}


def main():
    args = common.options(__doc__, levels=6, truth=0)
    rounds = common.leaf_rounds(args.leaf)
    if args.truth:
        print(json.dumps(leaf_share(args.levels, rounds)))
        return
    space = {"REPEAT": 10 if rounds < 1000 else 1}
    source = plain_source() + tree_source("", args.levels, rounds)
    exec(compile(source, "<tree>", "exec"), space)
    life = common.Lifetime(args.seconds)
    common.ready()
    space["p_00"](life.keep_running)


if __name__ == "__main__":
    main()
