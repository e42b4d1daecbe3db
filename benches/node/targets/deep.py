"""Fifty frames deep, with a short leaf: `deep.py [DEPTH]`. Ends when its standard input does."""
import select
import sys


def leaf(n):
    while n:
        n -= 1


def other(n):
    while n:
        n -= 1


def step(depth):
    if depth:
        step(depth - 1)
        return
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(1000):
            leaf(300)
            other(100)


print("ready", flush=True)
# <module> and the leaf are frames too.
step(int(sys.argv[1]) - 3 if len(sys.argv) > 1 else 47)
