"""Shows rows as a table, for a terminal or as Markdown."""
import cases

COLUMNS = ("tool", "rate", "lost%", "failed%", "cut%", "impossible%", "rootless%", "self%", "us/sample", "x floor",
           "core%", "calls", "reads", "MiB", "KiB/s", "slowdown")
WAITS = ("tool", "first sample ms", "dump ms")


def number(value, digits=2, times=1.0):
    if value is None:
        return "-"
    return "%.*f" % (digits, value * times)


def cells(row):
    if "failed_with" in row:
        return [row["tool"], row["failed_with"]]
    calls = row.get("calls") or {}
    return [row["tool"], number(row["rate_reached"], 0), number(row["lost"], 1, 100),
            number(row["failed"], 2, 100), number(row["cut"], 2, 100), number(row["impossible"], 3, 100),
            number(row["rootless"], 3, 100), number(row["self_time_error"], 2, 100),
            number(row["cpu_per_look_us"], 1), number(row["times_floor"], 2), number(row["cpu"], 1, 100),
            number(calls.get("all"), 1), number(calls.get("reads"), 1), number(row["memory_kib"], 1, 1 / 1024),
            number(row["growth_kib_s"], 0), number(row["slowdown"], 3)]


def title(row):
    rate = "as often as it can" if row["rate"] >= cases.FLAT_OUT else "%d Hz" % row["rate"]
    return "%s, %s, Python %s" % (row["target"], rate, row["python"])


def blocks(rows):
    """(title, rows) of each target, rate and Python, in the order of the rows."""
    found = {}
    for row in rows:
        found.setdefault(title(row), []).append(row)
    return found.items()


def text(lines, columns, markdown):
    """Lines of cells, padded; a line with fewer cells than columns says why it has no figures."""
    full = [columns] + [line for line in lines if len(line) == len(columns)]
    widths = [max(len(line[at]) for line in full) for at in range(len(columns))]
    widths[0] = max(len(line[0]) for line in [columns] + lines)
    shown = []
    for line in [columns] + lines:
        if len(line) < len(columns):
            line = list(line) + [""] * (len(columns) - len(line)) if markdown else line
        padded = [cell.ljust(width) if at == 0 or len(line) < len(columns) else cell.rjust(width)
                  for at, (cell, width) in enumerate(zip(line, widths))]
        shown.append("| %s |" % " | ".join(padded) if markdown else "  ".join(padded).rstrip())
        if markdown and line is columns:
            shown.append("| %s |" % " | ".join(
                "-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths)))
    return "\n".join(shown)


def brief(result, markdown=False):
    """One line a target: for each tool the rate it reached and its CPU time for each sample in us."""
    rows = [row for row in result["rows"] if row["tool"] != "(control)"]
    tools = list(dict.fromkeys(row["tool"] for row in rows))
    lines = []
    for name, found in blocks(rows):
        by_tool = {row["tool"]: row for row in found}
        lines.append([name] + [_pace(by_tool.get(tool)) for tool in tools])
    return text(lines, ["target"] + tools, markdown)


def _pace(row):
    if row is None or "failed_with" in row or row["cpu_per_look_us"] is None:
        return "-"
    return "%s, %s us" % (number(row["rate_reached"], 0), number(row["cpu_per_look_us"], 0))


def whole(result, markdown=False):
    """Everything in a result file, as text."""
    parts = []
    for name, rows in blocks(result["rows"]):
        parts.append("%s%s\n%s%s" % ("#### " if markdown else "", name, "\n" if markdown else "",
                                     text([cells(row) for row in rows], COLUMNS, markdown)))
    by_python = {}
    for wait in result.get("waits", ()):
        by_python.setdefault(wait["python"], []).append(
            [wait["tool"], number(wait["first_sample"], 1, 1000), number(wait["dump"], 1, 1000)])
    for python, lines in by_python.items():
        parts.append("%sWaiting, depth-50, Python %s\n%s%s" % (
            "#### " if markdown else "", python, "\n" if markdown else "", text(lines, WAITS, markdown)))
    return "\n\n".join(parts)
