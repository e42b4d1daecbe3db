"""Three pipelines of generators and coroutines, each step consumed in one place only.

ga_drive > ga_sum > ga_pass (yield from) > ga_source > ga_leaf
gb_drive > gb_outer (await) > gb_mid (await) > gb_inner (await) > gb_pause
                                             gb_inner > gb_leaf
gc_drive > gc_listcomp (its own frame up to 3.11) > gc_genexp > gc_numbers > gc_leaf

Their frames lie in the heap and lose their link to the caller at every yield.
"""
import types

import common

ROUNDS = 0
LENGTH = 50
# The first iterable of a generator expression is made by its caller, the
# others inside it: behind this one, gc_numbers has one parent only.
ONCE = (0,)


def ga_leaf(n):
    while n:
        n -= 1


def ga_source():
    n = ROUNDS
    for k in range(LENGTH):
        ga_leaf(n)
        yield k


def ga_pass():
    before = 1
    yield from ga_source()
    return before


def ga_sum():
    total = 0
    for value in ga_pass():
        total += value
        yield total


def ga_drive():
    for _ in ga_sum():
        pass


def gb_leaf(n):
    while n:
        n -= 1


@types.coroutine
def gb_pause(value):
    n = ROUNDS
    while n:
        n -= 1
    got = yield value
    return got


async def gb_inner(value):
    one, two, three, four = value, value, value, value
    gb_leaf(ROUNDS)
    return await gb_pause(one + two + three + four)


async def gb_mid(value):
    return await gb_inner(value + 1)


async def gb_outer():
    total = 0
    for k in range(LENGTH):
        total += await gb_mid(k)
    return total


def gb_drive():
    coroutine = gb_outer()
    send = coroutine.send
    try:
        send(None)
        while True:
            send(1)
    except StopIteration:
        pass


def gc_leaf(n):
    while n:
        n -= 1
    return 1


def gc_numbers():
    for k in range(LENGTH):
        yield k + gc_leaf(ROUNDS)


def gc_drive():
    a = b = c = d = e = 0
    squares = (value * value for _ in ONCE for value in gc_numbers())
    return [square + a + b + c + d + e for square in squares]


def main():
    global ROUNDS
    args = common.options(__doc__)
    ROUNDS = common.leaf_rounds(args.leaf)
    common.renamed(gc_drive, {"<genexpr>": "gc_genexp", "<listcomp>": "gc_listcomp"})
    repeat = range(100 if ROUNDS < 1000 else 1)
    life = common.Lifetime(args.seconds)
    common.ready()
    while life.keep_running():
        for _ in repeat:
            ga_drive()
            gb_drive()
            gc_drive()


if __name__ == "__main__":
    main()
