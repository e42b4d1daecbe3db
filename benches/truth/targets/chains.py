"""Three disjoint chains of functions, called in turn.

a_00 calls a_01 calls ... a_13; likewise b_00 to b_10 and c_00 to c_15. The
frames of a are small, those of b large, those of c mixed, so that the links of
one chain point into the middle of another's frames. A stack with letters mixed,
or with a number left out, never happened.
"""
import common

CHAINS = {
    "a": [0] * 14,
    "b": [18] * 11,
    "c": [(k * 5) % 13 for k in range(16)],
}


def chain_source(letter, sizes, rounds):
    text = ""
    for k, size in enumerate(sizes):
        text += "def %s_%02d(x):\n" % (letter, k)
        text += "".join("    v%d = x\n" % j for j in range(size))
        if k + 1 < len(sizes):
            text += "    return %s_%02d(x)\n" % (letter, k + 1)
        elif rounds:
            text += "    n = %d\n    while n:\n        n -= 1\n" % rounds
        else:
            text += "    return x\n"
    return text


def main():
    args = common.options(__doc__)
    rounds = common.leaf_rounds(args.leaf)
    space = {}
    for letter, sizes in CHAINS.items():
        exec(compile(chain_source(letter, sizes, rounds), "<chain-%s>" % letter, "exec"), space)
    first, second, third = space["a_00"], space["b_00"], space["c_00"]
    repeat = range(1000 if rounds < 1000 else 20)
    life = common.Lifetime(args.seconds)
    common.ready()
    while life.keep_running():
        for _ in repeat:
            first(1)
            second(2)
            third(3)


if __name__ == "__main__":
    main()
