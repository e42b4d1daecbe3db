"""Recursion that must end in its root.

ra_root > ra_0 > ra_1 > ra_2 > ra_0 > ... > ra_leaf
rb_root > rb_0 > rb_1 > rb_0 > ... > rb_leaf
The depth differs from call to call (1 to --depth frames), so the end of a chain
lies somewhere else each time. A frame of ra below rb, a step out of turn, or a
stack which does not go down to its root never happened.
"""
import sys

import common

ROUNDS = 0


def ra_leaf(n):
    while n:
        n -= 1


def ra_0(left):
    if left:
        return ra_1(left - 1)
    return ra_leaf(ROUNDS)


def ra_1(left):
    one = two = three = left
    if left:
        return ra_2(left - 1)
    return ra_leaf(ROUNDS)


def ra_2(left):
    one = two = three = four = five = six = seven = left
    if left:
        return ra_0(left - 1)
    return ra_leaf(ROUNDS)


def ra_root(depth):
    return ra_0(depth)


def rb_leaf(n):
    one = two = n
    while n:
        n -= 1


def rb_0(left):
    one = two = left
    if left:
        return (one, (two, rb_1(left - 1)))
    return rb_leaf(ROUNDS)


def rb_1(left):
    one = two = three = four = five = left
    if left:
        return rb_0(left - 1)
    return rb_leaf(ROUNDS)


def rb_root(depth):
    one = two = depth
    return rb_0(depth)


def main():
    global ROUNDS
    args = common.options(__doc__, depth=100)
    ROUNDS = common.leaf_rounds(args.leaf)
    sys.setrecursionlimit(args.depth + 200)
    # A fixed shuffle (a step which has no divisor in common with the length).
    count = args.depth
    step = next(s for s in (37, 41, 43, 1) if count % s or s == 1)
    depths = [(k * step) % count for k in range(count)]
    life = common.Lifetime(args.seconds)
    common.ready()
    while life.keep_running():
        for depth in depths:
            ra_root(depth)
            rb_root(count - 1 - depth)


if __name__ == "__main__":
    main()
