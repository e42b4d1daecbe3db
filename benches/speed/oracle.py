"""Which stacks the targets of the speed bench can have.

As in the truth bench's graphs.py: a rule tells whether one function may call
another, and a stack must begin with a known root.
"""
import re

import cases  # noqa: F401  (it makes the truth bench importable)
import graphs

_CHAIN = re.compile(r"^d_(\d+)$")
# What the loop of any target calls besides the work.
_LOOP = {"keep_running", "note", "noted"}


def _work(above, below):
    """The functions of selftime.py, called by the loop `above`."""
    if above.startswith("s_over_"):
        return below == above.replace("over", "under")
    return (above, below) == ("note", "noted")


def _starts_work(below):
    return below in _LOOP or below.startswith("s_") and not below.startswith("s_under_")


def _depth(last):
    def may_call(above, below):
        chain, next_ = _CHAIN.match(above), _CHAIN.match(below)
        if chain and int(chain[1]) == last:
            return _starts_work(below)
        if chain:
            return bool(next_) and int(next_[1]) == int(chain[1]) + 1
        return (above, below) == ("main", "d_0") or _work(above, below)
    return may_call


# How a thread of threading.py begins; 3.15 and others may put more between.
_BEGIN = {"_bootstrap": {"_bootstrap_inner"}, "_bootstrap_inner": {"run", "_context_run"},
          "_context_run": {"run"}, "run": {"i_step", "b_work"}}
_THREADS = dict(_BEGIN, i_step={"i_step", "i_wait"}, i_wait={"wait"}, b_work={"b_leaf", "is_set"},
                main={"m_work"},
                # Event.wait and what it calls.
                wait={"wait", "__enter__", "__exit__", "_is_owned", "_release_save", "_acquire_restore"})


def _threads(above, below):
    if above == "m_work":
        return _starts_work(below)
    return below in _THREADS.get(above, ()) or _work(above, below)


_FIB = {"main": {"f_round"} | _LOOP, "f_round": {"fib"}, "fib": {"fib"}}
_PROCESSES = {"main": {"c_work", "c_step"} | _LOOP, "c_work": {"c_step"}, "c_step": {"c_step", "c_leaf"}}
ROOTS = {"<module>", "_bootstrap"}


def _pairs(graph):
    return lambda above, below: below in graph.get(above, ())


def rule(case):
    if case.program == "depth":
        return _depth(max(1, case.options[1] - 3) - 1)
    return {"threads": _threads, "fib": _pairs(_FIB), "processes": _pairs(_PROCESSES)}[case.program]


def judge(case, version, frames):
    """"true", "impossible" or "rootless" for frames that are root first."""
    if case.program == "pipelines":
        return _as_gens(version, frames)
    may_call = rule(case)
    for above, below in zip(frames, frames[1:]):
        if above.name == "<module>":
            possible = below.name == "main"
        elif below.name == "end" and below.file == "common.py":
            # A signal's handler runs above whatever was running.
            possible = True
        else:
            possible = may_call(above.name, below.name)
        if not possible:
            return "impossible"
    return "true" if frames and frames[0].name in ROOTS else "rootless"


def _as_gens(version, frames):
    """pipelines.py drives gens.py, whose rule is the truth bench's."""
    renamed = [frame._replace(file="gens.py") if frame.file == "pipelines.py" else frame for frame in frames]
    if len(renamed) == 3 and [frame.name for frame in renamed[1:]] == ["main", "noted"]:
        return "true"
    verdict = graphs.judge("gens", version, renamed)[0]
    # Its lines are those of another program.
    return "true" if verdict == "misplaced" else verdict
