"""A stack of --depth frames in all: <module>, main, d_0, d_1, ... and the work on top."""
import sys

import worker

import common


def chain(length):
    """Source of d_0 ... ; the last one does the work."""
    text = "".join("def d_%d():\n    d_%d()\n" % (k, k + 1) for k in range(length - 1))
    return text + "def d_%d():\n%s" % (length - 1, worker.LOOP)


def main():
    args = common.options(__doc__, depth=50)
    sys.setrecursionlimit(args.depth + 1000)
    # <module>, main and the work itself are three.
    length = max(1, args.depth - 3)
    work = worker.Worker()
    life = common.Lifetime(args.seconds)
    space = worker.loop_space(work, life.keep_running)
    exec(compile(chain(length), "<depth>", "exec"), space)
    common.ready()
    space["d_0"]()
    work.tell("d_%d" % (length - 1))


if __name__ == "__main__":
    main()
