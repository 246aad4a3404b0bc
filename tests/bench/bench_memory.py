"""Figures of memory that moves from one guest to another, and of ticks of the policies, in boots of their own
(docs/testing.md, "What make bench counts")."""

import dataclasses

from bench_boot import BenchError, Row, boot, require_verified, stats_of

import derive
import emulator
import serial_log

# Two guests of 16 to 80 MiB, of which the second gives the first so many 2 MiB units.
MOVE_UNITS = (16, 32)
MOVE_MIN, MOVE_MAX = 16, 80  # MiB
# Ticks of 100 ms: guests without a driver that use a part of their RAM for two seconds; and guests of the shim that all
# want more than they have, where there is three quarters of what they may have together.
TICK_IDLE = {3: 32, 64: 4}  # MiB of each guest
TICK_HUNGRY = {3: 32, 64: 8}
HUNGRY_SECONDS = 4
TICK_MEMORY = 1024


def move_log(machine, args, units):
    """The log of a boot in which @units move, whole and without an error."""
    guests = [
        {"name": name, "kernel": "move.elf", "memory_min": f"{least}M", "memory_max": f"{MOVE_MAX}M", "cmdline": f"{units:02}"}
        for name, least in (("taker", MOVE_MIN), ("giver", MOVE_MAX - 2 * units))
    ]
    balloon = {"policy": "alternate", "tick_ms": 100}
    manifest = derive.write({"machine": {"console": "ring"}, "balloon": balloon, "guest": guests})
    log = boot(machine, args, manifest, f"{units} units of 2 MiB that move")
    for name in ("taker", "giver"):
        require_verified(log, name)
        if move_console(log, name)["moved"] != units:
            raise BenchError(f"guest {name} did not move {units} units:\n" + emulator.last_lines(log))
    return log


def move_console(log, name):
    pairs = (line.split("=") for line in serial_log.guest_lines(log, name) if "=" in line)
    return {key: int(value) for key, value in pairs}


def move_time(log):
    """TSC ticks from the decision, the line with the second target of the taker, until both guests were done. The
    taker's last reading of the TSC goes with the line of its end."""
    lines = {"target": [], "end": []}
    for line in log:
        if 'guest "taker": balloon: target' in line:
            lines["target"].append(serial_log.seconds_of(line))
        elif 'guest "taker": shut down' in line:
            lines["end"].append(serial_log.seconds_of(line))
    if len(lines["target"]) != 2 or len(lines["end"]) != 1:
        raise BenchError("not two targets and one end of the taker:\n" + emulator.last_lines(log))
    hz = int(stats_of(log, "machine")["tsc_hz"])
    done = max(move_console(log, name)["done"] for name in ("taker", "giver"))
    return round((lines["end"][0] - lines["target"][1]) * hz) - (move_console(log, "taker")["end"] - done)


def move_exits(log):
    """Exits of both guests, but those for interrupts of the host."""
    rows = [r for r in serial_log.stats(log) if r.get("exits") in ("taker", "giver")]
    return sum(r["count"] for r in rows if r["reason"] != "interrupt")


def move_figures(machine, args, clear_page=0):
    """Rows of 2 MiB units that move from guest to guest: what the longer of two moves takes more, so that what is
    done once is not in it. Instructions where @clear_page, those of scrubbing a page, is given."""
    few, many = (move_log(machine, args, units) for units in MOVE_UNITS)
    more = MOVE_UNITS[1] - MOVE_UNITS[0]
    backend = stats_of(many, "machine")["backend"]
    rows = [Row("move_2mib_exits", round((move_exits(many) - move_exits(few)) / more), "exits", backend)]
    if clear_page:
        own = move_console(many, "giver")["give_own"] + move_console(many, "taker")["take_own"]
        each = (move_time(many) - move_time(few)) / more - own - 512 * clear_page
        rows.append(Row("move_2mib_instructions", round(each), "instructions", backend))
        hz = int(stats_of(many, "machine")["tsc_hz"])
        rows.append(Row("move_64mib_ticks", move_time(many), "instructions", backend))
        rows.append(Row("move_64mib_us", round(move_time(many) * 1_000_000 / hz), "us", backend))
    return rows


def idle_guests(count, mib):
    return [
        {"name": f"idle{i}", "kernel": "idle.elf", "memory_min": "2M", "memory_max": f"{mib}M", "cmdline": "24"}
        for i in range(count)
    ]


def hungry_guests(count, mib):
    swap = [{"name": "swap", "size": f"{mib // 2}M", "service_us": 100}]
    line = f"pages={mib * 280} seconds={HUNGRY_SECONDS}"
    return [
        {"name": f"hungry{i}", "kernel": "hungry.elf", "memory_min": "4M", "memory_max": f"{mib}M", "cmdline": line, "disk": swap}
        for i in range(count)
    ]


def tick_figure(machine, args, name, guests, memory=None):
    """A row of what a tick of the policy `refault` takes on the mean."""
    balloon = {"policy": "refault", "tick_ms": 100}
    if memory:
        balloon["memory"] = f"{memory}M"
    manifest = derive.write({"machine": {"console": "ring"}, "balloon": balloon, "guest": guests})
    log = boot(dataclasses.replace(machine, memory=TICK_MEMORY), args, manifest, name)
    for guest in guests:
        require_verified(log, guest["name"])
    stats = stats_of(log, "policy")
    if int(stats["ticks"]) < 20:
        raise BenchError(f"{name}: only {stats['ticks']} ticks:\n" + emulator.last_lines(log))
    value = round(int(stats["tsc_ticks"]) / int(stats["ticks"]))
    return Row(name, value, "instructions", stats_of(log, "machine")["backend"])


def tick_figures(machine, args):
    rows = [tick_figure(machine, args, f"tick_{n}_guests", idle_guests(n, mib)) for n, mib in TICK_IDLE.items()]
    for count, mib in TICK_HUNGRY.items():
        guests = hungry_guests(count, mib)
        rows.append(tick_figure(machine, args, f"tick_{count}_hungry_guests", guests, count * mib * 3 // 4))
    return rows
