"""Which stacks each target can have: the oracle.

A rule is a function from (parent frame or None, frame, state) to a reason why
the pair is impossible, or None. The pairs are judged from the root on; a stack
that does not begin with the script's <module> is rootless, which is counted
apart, and its pairs are judged all the same.
"""
import re
from functools import lru_cache
from pathlib import Path

_TREE = re.compile(r"^t_([01]*)$")
_PLAIN = re.compile(r"^p_(\d\d)$")
_CHAIN = re.compile(r"^([abc])_(\d\d)$")
_MADE = re.compile(r"^([fg])_(\d+)$")
_LINE = re.compile(r"^([lmg])_(\d+)$")

# How deep each chain of chains.py goes: number of its last function.
CHAIN_ENDS = {"a": 13, "b": 10, "c": 15}


def _tree(parent, child):
    below = _TREE.match(child.name)
    above = _TREE.match(parent.name)
    if above:
        return bool(below) and below[1][:-1] == above[1] and len(below[1]) == len(above[1]) + 1
    plain = _PLAIN.match(parent.name)
    if plain:
        number = int(plain[1])
        if number == 19:
            return child.name in ("t_", "keep_running")
        return child.name == "p_%02d" % (number + 1)
    return (parent.name, child.name) == ("main", "p_00")


def _chains(parent, child):
    above, below = _CHAIN.match(parent.name), _CHAIN.match(child.name)
    if not below:
        return (parent.name, child.name) == ("main", "keep_running")
    if not above:
        return parent.name == "main" and below[2] == "00"
    return above[1] == below[1] and int(below[2]) == int(above[2]) + 1


_GENS = {
    "main": {"ga_drive", "gb_drive", "gc_drive", "keep_running"},
    "ga_drive": {"ga_sum"}, "ga_sum": {"ga_pass"}, "ga_pass": {"ga_source"},
    "ga_source": {"ga_leaf"},
    "gb_drive": {"gb_outer"}, "gb_outer": {"gb_mid"}, "gb_mid": {"gb_inner"},
    "gb_inner": {"gb_leaf", "gb_pause"},
    "gc_genexp": {"gc_numbers"}, "gc_numbers": {"gc_leaf"},
}


def _gens(version):
    """Comprehensions have a frame of their own up to 3.11.

    From 3.11 on a generator expression starts as a frame under the function
    that makes it; before, that frame is never linked while it is made.
    """
    graph = dict(_GENS)
    graph["gc_drive"] = set()
    if version <= (3, 11):
        graph["gc_drive"].add("gc_listcomp")
        graph["gc_listcomp"] = {"gc_genexp"}
    if version >= (3, 11):
        graph["gc_drive"].add("gc_genexp")
    return lambda parent, child: child.name in graph.get(parent.name, ())


_RECURSION = {
    "main": {"ra_root", "rb_root", "keep_running"},
    "ra_root": {"ra_0"}, "ra_0": {"ra_1", "ra_leaf"}, "ra_1": {"ra_2", "ra_leaf"},
    "ra_2": {"ra_0", "ra_leaf"},
    "rb_root": {"rb_0"}, "rb_0": {"rb_1", "rb_leaf"}, "rb_1": {"rb_0", "rb_leaf"},
}


def _recursion(parent, child):
    return child.name in _RECURSION.get(parent.name, ())


def _selftime(parent, child):
    if parent.name == "main":
        return child.name == "keep_running" or (
            child.name.startswith("s_") and not child.name.startswith("s_under_"))
    return (parent.name.startswith("s_over_")
            and child.name == parent.name.replace("over", "under"))


def first_line(k):
    """Line of `def f_k` (names.py computes the same)."""
    return 1 + (k * 7) % 50


def _own_place(frame):
    """Whether a made function bears its own file and one of its own lines."""
    made = _MADE.match(frame.name)
    if not made:
        return True
    number = int(made[2])
    begin = first_line(number) + (0 if made[1] == "f" else 6)
    end = begin + (4 if made[1] == "f" else 2)
    return frame.file == "<gen-%d>" % number and (
        frame.line is None or begin <= frame.line <= end)


def _names(parent, child):
    if not _own_place(child):
        return False
    made = _MADE.match(child.name)
    if made and made[1] == "f":
        return parent.name == "main"
    if made:
        return parent.name == "f_" + made[2]
    if child.name == "<module>":
        return parent.name == "make" and child.file.startswith("<gen-")
    return (parent.name == "main" and child.name in ("make", "keep_running")
            or parent.name == "make" and child.name in ("first_line", "<genexpr>", "<listcomp>"))


def callee_line(line):
    """First of the four lines of l_<line> (lines.py computes the same)."""
    return 1000 + 4 * line


def inner_line(line):
    """First of the four lines of m_<line> and g_<line> (lines.py computes the same)."""
    return 2000 + 4 * line


def _lines(parent, child):
    callee = _LINE.match(child.name)
    if not callee:
        return parent.name == "main" and child.name in ("l_caller", "keep_running")
    kind, line = callee[1], int(callee[2])
    begin = (callee_line if kind == "l" else inner_line)(line)
    if child.line is not None and not begin <= child.line <= begin + 3:
        return False
    if kind == "l":
        return parent.name == "l_caller"
    return kind == "-mg"[line % 3] and parent.name == "l_%d" % line


def _calling_line(child):
    """The line on which lines.py calls the function."""
    kind, line = _LINE.match(child.name).groups()
    return int(line) if kind == "l" else callee_line(int(line)) + 2


# What stands on the caller's line where that is not the callee's own name.
_CALLED_AS = {
    ("gb_drive", "gb_outer"): "send(", ("gc_drive", "gc_genexp"): "squares",
    ("gc_drive", "gc_listcomp"): "squares", ("gc_listcomp", "gc_genexp"): "squares"}
# Targets whose calls are all written out in their own file.
_WRITTEN_OUT = ("gens", "recursion")


@lru_cache(maxsize=None)
def _source(target):
    return (Path(__file__).resolve().parent / "targets" / (target + ".py")).read_text().splitlines()


def _calls_there(target, parent, child):
    """Whether the caller's line is one that calls the callee, where the target's source says so."""
    if target == "lines" and _LINE.match(child.name):
        return parent.line in (None, _calling_line(child))
    if target not in _WRITTEN_OUT or parent.line is None or parent.file != target + ".py":
        return True
    text = _source(target)[parent.line - 1] if parent.line <= len(_source(target)) else ""
    # From 3.11 on a coroutine starts as a frame under the function that makes it.
    return child.name + "(" in text or _CALLED_AS.get((parent.name, child.name), child.name + "(") in text


def _slowdown(parent, child):
    return (parent.name, child.name) in {
        ("main", "w_round"), ("main", "keep_running"), ("w_round", "w_step"),
        ("w_step", "w_step"), ("w_step", "w_leaf")}


TARGETS = ("tree", "chains", "gens", "recursion", "selftime", "names", "lines", "slowdown")


def rule(target, version):
    """The target's pair rule: (parent, child) -> may the parent call the child."""
    if target == "gens":
        return _gens(version)
    return {"tree": _tree, "chains": _chains, "recursion": _recursion,
            "selftime": _selftime, "names": _names, "lines": _lines,
            "slowdown": _slowdown}[target]


def judge(target, version, frames):
    """(verdict, reason) of a stack: "true", "impossible", "rootless" or "misplaced".

    The last is right but for a line: a caller stands on one that does not call what is above it.

    `frames` is root first; of a stack that was cut, the part that is there. An
    empty one is rootless. `version` is (major, minor) of the target's Python.
    """
    pair = rule(target, version)
    script = target + ".py"
    misplaced = None
    for parent, child in zip(frames, frames[1:]):
        if parent.name == "<module>" and parent.file == script:
            possible = child.name == "main" and child.file == script
        elif parent.name in ("keep_running", "reset", "end"):
            possible = False
        elif child.name in ("reset", "end") and child.file in (script, "common.py"):
            # A signal's handler runs above whatever was running.
            possible = True
        else:
            possible = pair(parent, child)
            if possible and not _calls_there(target, parent, child):
                misplaced = misplaced or "%s > %s" % (show(parent), show(child))
        if not possible:
            return "impossible", "%s > %s" % (show(parent), show(child))
    if target == "names" and frames and not _own_place(frames[0]):
        return "impossible", show(frames[0])
    if not frames or frames[0].name != "<module>" or frames[0].file != script:
        return "rootless", show(frames[0]) if frames else "no frame"
    return ("misplaced", misplaced) if misplaced else ("true", "")


def show(frame):
    return "%s (%s:%s)" % (frame.name, frame.file, frame.line)
