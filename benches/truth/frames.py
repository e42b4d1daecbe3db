"""Reads one line of collapsed stacks, as each tool writes it, into frames."""
import re
from typing import NamedTuple, Optional

CUT = "[missing: stack cut]"
NO_PYTHON = "[no Python frames]"


class Frame(NamedTuple):
    """One Python frame: a name without its class, a file without its folder."""

    name: str
    file: str
    line: Optional[int]


class Stack(NamedTuple):
    """A stack root first, how many samples showed it, and whether it was cut."""

    frames: tuple
    count: float
    cut: bool


_PAREN = re.compile(r"^(?P<name>.*) \((?P<file>[^()]*?)(?::(?P<line>\d+)(?::[\d:-]+)?)?\)$")
_COLON = re.compile(r"^(?P<file>.*):(?P<name>[^:]*):(?P<line>-?\d+)$")
# Frames that stand for no Python code. Anything else that cannot be read is an
# error of this reader, never dropped in silence.
_NOT_PYTHON = re.compile(r"^(process \d+|tid:\d+|P\d+|T[\d:]+|thread .*|pid .*|Thread.*|MainThread.*)")

# The root of a process: `process COMMAND (PID)` is ours, `process PID:COMMAND` py-spy's. Either may look like a frame.
_PROCESS = re.compile(r"^process (\d+\b|.* \((\d+|ended)\)$)")


def short_name(name):
    """`Class.method` and `f.<locals>.g` as `method` and `g`."""
    return name.rsplit(".", 1)[-1]


def short_file(file):
    return file if file.startswith("<") else file.rsplit("/", 1)[-1]


def parse_frame(text):
    """The frame of `name (file:line)` or `file:name:line`, or None."""
    match = _PAREN.match(text) or _COLON.match(text)
    if match is None:
        return None
    line = match["line"]
    return Frame(short_name(match["name"]), short_file(match["file"]),
                 int(line) if line and int(line) > 0 else None)


def parse_line(line):
    """One line `a;b;c COUNT` as a Stack, or None where no frame was recorded."""
    text, _, count = line.rstrip("\n").rpartition(" ")
    if not text:
        return None
    frames, cut = [], False
    for part in text.split(";"):
        if part == CUT:
            cut = True
            continue
        if part == NO_PYTHON:
            continue
        if not frames and _PROCESS.match(part):
            continue
        frame = parse_frame(part)
        if frame is not None:
            frames.append(frame)
        elif not frames and _NOT_PYTHON.match(part):
            continue
        else:
            frames.append(Frame(part, "?", None))
    if not frames and not cut:
        return None
    return Stack(tuple(frames), float(count), cut)
