"""The operator's console (docs/console.md): commands typed on the serial port, and what is typed for a guest."""

import dataclasses

import pytest

import serial_log
from conftest import guest
from test_linux import linux

pytestmark = pytest.mark.backends("qemu", "bochs:corei7_icelake_u")


def echo(name, source="nothing", **keys):
    return guest(name, "echo", cmdline=source, **keys)


def replies(booted):
    """What the hypervisor said, without the times."""
    return [serial_log.text_of(line) for line in booted.log if line.startswith("[")]


def after(booted, command):
    """The lines from the first reply to @command on."""
    lines = replies(booted)
    return lines[lines.index(f"> {command}") + 1 :]


def test_an_operator_looks_and_acts(sluice):
    script = [
        ("guest two: listens", "guests\r"),
        (r"\] two  ", "guest one\r"),
        ("vCPU 0: on CPU", "pool\r"),
        ("frames: ", "policy\r"),
        ("policy: static$", "freeze two\r"),
        ('"two": frozen', "cap two precache 8M\r"),
        ('"two": new caps', "weight two 7\r"),
        ('"two": weight 7', "guest two\r"),
        ("vCPU 0: on CPU", "policy shares\r"),
        ("policy: shares from", "policy\r"),
        ("policy: shares$", "log error\r"),
        ("log: error", "audit\r"),
        ("every frame is where", "log info\r"),
        ("log: info", "stop one\r"),
        ('"one": stopped: operator', "guests\r"),
        (r"\] two  ", "help\r"),
        ("poweroff  ", "poweroff\r"),
    ]
    # The manifest would have it halt; and by this policy weights stay as they are set.
    manifest = {"machine": {"when_done": "halt"}, "balloon": {"policy": "static"}, "guest": [echo("one"), echo("two")]}
    booted = sluice.boot(manifest, script=script)
    head, one, two = (line.split() for line in after(booted, "guests")[:3])
    assert head[:2] == ["guest", "state"] and len(one) == len(two) == 12
    assert one[:2] == ["one", "running"] and two[:2] == ["two", "running"]
    assert one[3:6] == ["16384"] * 3 and one[10] == "1" and int(one[11]) > 0
    assert 'guest "one": running' in after(booted, "guest one")[0]
    told = after(booted, "guest two")
    assert "share 7;" in told[2] and "(cap 8192)" in told[2] and told[2].endswith("frozen")
    # Replies come whatever the level; what else would be logged does not.
    assert after(booted, "audit")[0] == "audit: every frame is where it should be"
    assert any(line.split()[:2] == ["one", "operator"] for line in replies(booted))
    assert booted.guests["one"]["reason"] == booted.guests["two"]["reason"] == "operator"


def test_bad_lines_do_nothing_and_say_why(sluice):
    script = [
        ("guest one: listens", "guets\r"),
        ('unknown command "guets"', "stop\r"),
        ("stop: a word is missing", "stop nobody\r"),
        ('no guest "nobody"', "stop one two\r"),
        ("stop: too many words", "weight one 70000\r"),
        ('"70000" is not a number', "cap one precache 3\r"),
        ('"3" is not none, or a size', "policy best\r"),
        ('"best" is not refault, static', "x" * 200 + "\r"),
        ("it is too long", "stop onee\x7f\x15stop two\x1b[A\b\b\b\x00\xff none\r"),
        ('no guest "none"|too many words', "\r\n\r\n" + "y" * 70 + "\x03poweroff\r"),
    ]
    booted = sluice.boot([echo("one")], script=script)
    said = replies(booted)
    assert "> stop  none" in said or "> stop none" in said, said
    assert booted.guests["one"]["reason"] == "operator"
    assert said.count("powering off") == 1


def test_a_flood_costs_only_the_operators_line(sluice):
    """Garbage faster than anybody reads, without and with line ends, while a guest works."""
    flood = "".join(chr(33 + i * 7 % 90) for i in range(3000)) + "\r"
    lines = "".join(f"what{i}\r" for i in range(300))
    script = [
        ("guest one: listens", flood + lines + "\x15policy static\r"),
        ("policy: static from", ""),
        ('guest "worker": shut down', "poweroff\r"),
    ]
    booted = sluice.boot([echo("one"), guest("worker", "idle", cmdline="58")], script=script)
    assert booted.guests["worker"]["verified"] == 1
    assert booted.guests["one"]["reason"] == "operator"
    # Ten complaints a second, two hundred at most.
    assert 0 < sum("unknown command" in line for line in booted.log) <= 60
    assert not booted.says("lines were lost here")


@pytest.mark.parametrize("source", ["uart", "console"])
def test_what_is_typed_reaches_the_guest(sluice, source):
    script = [
        ("guest typist: listens", "console typist\r"),
        ("ctrl-. ends it", "hello you\r"),
        ("heard: hello you", "guests\r"),  # no command now
        ("heard: guests", "a\x1d" + "console nobody\r"),
        ("no guest", "console typist\r"),
        ("ctrl-. ends it", "b\rquit\r"),
        ('"typist" is left', "console typist\r"),
        ("has ended", "poweroff\r"),
    ]
    booted = sluice.boot([echo("typist", source), echo("other")], script=script)
    assert booted.lines("typist") == ["listens", "heard: hello you", "heard: guests", "heard: ab"]
    assert booted.guests["typist"]["verified"] == 1 and booted.guests["other"]["reason"] == "operator"
    assert "> guests" not in replies(booted)


@pytest.mark.cpus(1)
def test_a_console_that_is_off_hears_nothing(sluice):
    manifest = {"machine": {"console": "output"}, "guest": [guest("one", "idle", cmdline="18")]}
    booted = sluice.boot(manifest, script=[("guest one: hot", "poweroff\rpoweroff\r")])
    assert booted.guests["one"]["verified"] == 1 and "powering off" not in replies(booted)


def test_a_program_reads_what_is_typed_until_it_is_asked_to_end(sluice):
    script = [
        ("guest other: listens", "console talk\r"),
        ("ctrl-. ends it", "how are yoo\x7fu\r"),
        ("you said: how are you", "\x1dconsole more\r"),
        ('console of guest "more": ctrl', "bye\r"),
        ('"more" is left', "shutdown talk\r"),
        ('"talk": shut down', "shutdown all\r"),  # the other one does not listen to that
        ('"other": asked to shut down', "shutdown talk\r"),
        ('"talk" has ended', "poweroff\r"),
    ]
    booted = sluice.boot([guest("talk", "talk"), guest("more", "talk"), echo("other")], script=script)
    assert booted.lines("talk")[:3] == ["> how are you", "you said: how are you", "> asked to shut down"]
    assert booted.guests["talk"]["verified"] == booted.guests["more"]["verified"] == 1
    assert booted.guests["other"]["reason"] == "operator"


@pytest.mark.cpus(1)
@pytest.mark.parametrize("terminal", ["ttyS0", "hvc0"])
def test_a_shell_of_a_debian_guest_is_used_and_its_power_button_pressed(sluice, terminal):
    script = [
        ("shell on ", "console linux\r"),
        ("ctrl-. ends it", "echo $((6 * 7)) answers\r"),
        ("linux: 42 answers", "echo $((6 + 1)) came after\r"),
        ("linux: 7 came after", "\x1dshutdown linux\r"),
    ]
    # Who has ttyS0 open, as the first process would, hears what is typed.
    one = linux(arguments=f"tty={terminal}", initrd="linux-console.initrd")
    one["cmdline"] = one["cmdline"].replace("console=ttyS0", f"console={terminal}")
    machine = dataclasses.replace(sluice.machine, memory=512)
    booted = sluice.boot([one], script=script, machine=machine)
    assert booted.guests["linux"]["reason"] == "power-off"
    assert any(line.endswith("the power button was pressed") for line in booted.lines("linux"))  # behind a prompt
