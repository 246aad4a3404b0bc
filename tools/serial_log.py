"""Reads what Sluice writes on its serial port: see "The log" in docs/testing.md."""

import re

TIME = re.compile(r"^\[ *(\d+)\.(\d{6})\] ")
GUEST = re.compile(r"^guest ([^ :]+): ?(.*)$")
STAT = re.compile(r"^stat: (.*)$")
WORD = re.compile(r"^([a-z_0-9]+)=(.*)$")


def text_of(line):
    """@line without its time."""
    return TIME.sub("", line)


def seconds_of(line):
    """The machine's own time of @line, or None."""
    match = TIME.match(line)
    return int(match[1]) + int(match[2]) / 1e6 if match else None


def guest_lines(log, name):
    """What the guest @name wrote on its console."""
    found = (GUEST.match(line) for line in log)
    return [match[2] for match in found if match and match[1] == name]


def _number(value):
    return int(value) if re.fullmatch(r"-?\d+", value) else value


def stats(log):
    """All `stat:` lines, one dictionary a line; a word without = is a key of its own with the value True
    when it comes first, and belongs to the value before it otherwise."""
    rows = []
    for line in log:
        match = STAT.match(text_of(line))
        if not match:
            continue
        row, last = {}, None
        for word in match[1].split():
            pair = WORD.match(word)
            if pair:
                last = pair[1]
                row[last] = _number(pair[2])
            elif last is None:
                row[word] = True
            else:
                row[last] = f"{row[last]} {word}"
        rows.append(row)
    return rows


def stats_of_guests(log):
    """{guest name: its figures, and "exits", all of them together}; lines of one guest are joined. "total" is one of the names."""
    guests = {}
    for row in stats(log):
        if "guest" in row:
            guests.setdefault(row["guest"], {}).update(row)
        elif "exits" in row:
            figures = guests.setdefault(row["exits"], {})
            figures["exits"] = figures.get("exits", 0) + row["count"]
    return guests


def stats_of_machine(log):
    """The figures of the whole machine."""
    machine = {}
    for row in stats(log):
        if row.get("machine") is True:
            machine.update(row)
    return machine
