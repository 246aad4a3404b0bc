"""Derived manifests, the log's figures, and the report of `make check`."""

import subprocess
import sys
import tomllib

import pytest

import compare
import derive
import emulator
import experiment
import image
import nested_kvm
import serial_log

BASE = """
[tmem]
pool_max = "11M"
[[guest]]
name = "a"
kernel = "k"
cmdline = "seed=1 turn=\\"x\\" mode=slow"
memory_max = "8M"
[[guest.disk]]
name = "swap"
size = "4M"
[[guest]]
name = "b"
kernel = "k"
memory_max = "4M"
cpus = [0, 1]
"""


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.toml"
    path.write_text(BASE, encoding="utf-8")
    return path


def derived(base, *overrides):
    return tomllib.loads(derive.derive(base, overrides, image.CHECKER))


def test_without_overrides_nothing_changes(base):
    assert derived(base) == tomllib.loads(BASE)


@pytest.mark.parametrize(
    "override, table, key, value",
    [
        ("tmem.pool_max=12M", ("tmem",), "pool_max", "12M"),
        ("tmem.enabled=false", ("tmem",), "enabled", False),
        ("machine.log_level=debug", ("machine",), "log_level", "debug"),
        ("guest.b.weight=7", ("guest", 1), "weight", 7),
        ("guest.b.cpus=[2, 3]", ("guest", 1), "cpus", [2, 3]),
        ("guest.a.memory_max+=512K", ("guest", 0), "memory_max", "8704K"),
        ("guest.a.disk.swap.size=8M", ("guest", 0, "disk", 0), "size", "8M"),
        ("guest.a.disk.*.service_us=5", ("guest", 0, "disk", 0), "service_us", 5),
        ("guest.a.cmdline~=seed=2", ("guest", 0), "cmdline", 'seed=2 turn="x" mode=slow'),
        ("guest.b.cmdline~=seed=2", ("guest", 1), "cmdline", "seed=2"),
        ("guest.a.cmdline~=see=2", ("guest", 0), "cmdline", 'seed=1 turn="x" mode=slow see=2'),
    ],
)
def test_an_override_changes_one_key(base, override, table, key, value):
    result, before = derived(base, override), tomllib.loads(BASE)
    for step in table:
        result_table = result = result[step]
        before = before.get(step, {}) if isinstance(before, dict) else before[step]
    assert result_table[key] == value
    assert {k: v for k, v in result_table.items() if k != key} == {k: v for k, v in before.items() if k != key}


def test_a_star_means_every_guest(base):
    assert [g["weight"] for g in derived(base, "guest.*.weight=9")["guest"]] == [9, 9]


def test_an_empty_value_removes_the_key(base):
    assert "pool_max" not in derived(base, "tmem.pool_max=")["tmem"]


@pytest.mark.parametrize(
    "override, message",
    [
        ("pool_max", "is not PATH=VALUE"),
        ("pool_max=1M", "not table.key"),
        ("guest.c.weight=1", "there is no 'c'; there are: a, b"),
        ("guest.a.disk.data.size=1M", "there is no 'data'; there are: swap"),
        ("guest.a.weight=0", 'guest "a": weight 0 is not an integer from 1 to 1000'),
        ("guest.a.colour=red", "unknown key colour"),
        ("guest.a.name=b", "this guest has the name of the one at line"),
        ("guest.a.memory_max+=lots", "'lots' is not a size"),
    ],
)
def test_an_override_that_does_not_fit_is_refused(base, override, message):
    with pytest.raises(derive.DeriveError) as caught:
        derived(base, override)
    assert message in str(caught.value)


def test_a_bad_base_is_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[tmem]\nenabled = 3\n", encoding="utf-8")
    with pytest.raises(derive.DeriveError, match=r"bad.toml:2: enabled 3 is not true or false"):
        derived(path)


def test_cells_differ_in_what_they_compare(base):
    pool = 3 << 20
    total = lambda m: sum(derive.size_of(g["memory_max"]) for g in m["guest"])
    manifest = derived(base)
    cells = {
        config: derived(base, *experiment.Cell(config, pool, 2).overrides(manifest))
        for config in experiment.CONFIGS
    }
    assert cells["tmem"]["tmem"] == {"enabled": True, "pool_max": "3072K"}
    assert cells["tmem_off"]["tmem"] == cells["spread"]["tmem"] == {"enabled": False}
    assert total(cells["tmem"]) == total(cells["tmem_off"]) == total(cells["spread"]) - pool
    assert all(g["cmdline"].startswith("seed=2") for cell in cells.values() for g in cell["guest"])


def test_policies_divide_the_same_memory(base):
    pool = 3 << 20
    manifest = derived(base)
    together = sum(derive.size_of(g["memory_max"]) for g in manifest["guest"]) + pool
    for config in experiment.POLICY_CELLS:
        cell = derived(base, *experiment.Cell(config, pool, 2).overrides(manifest))
        policy, *ways = config.split("+")
        starts = [derive.size_of(g["memory_start"]) for g in cell["guest"]]
        assert cell["balloon"]["policy"] == policy
        assert derive.size_of(cell["balloon"]["memory"]) == together
        assert cell["tmem"]["enabled"] and cell["tmem"].get("keys_only", False) != ("tmem" in ways)
        volatile = ["volatile=on" in g["cmdline"] for g in cell["guest"]]
        if "volatile" in ways:
            assert starts == [together] * len(starts) and all(volatile)
        else:
            assert sum(starts) == together - (pool if "tmem" in ways else 0) and not any(volatile)


def test_one_seed_has_every_policy_in_every_way():
    tasks = compare.policy_tasks_of("qemu", 3 << 20, (1, 2), None)
    cells = {seed: [task.config for task in tasks if task.seed == seed] for seed in (1, 2)}
    product = {p + w for p in ("static", "selfballoon", "shares", "refault") for w in ("+tmem", "", "+tmem+volatile", "+volatile")}
    assert set(cells[1]) == product | {"spread"} and len(cells[1]) == 17
    assert cells[2] == list(experiment.POLICY_CONFIGS)
    assert [t.config for t in compare.policy_tasks_of("bochs", 1, (1, 2), None)] == ["static+tmem", "refault+tmem", "spread"]
    assert [t.config for t in compare.policy_tasks_of("qemu", 1, (2,), ["shares"])] == ["shares"]


def test_goals_of_policies_are_told_with_a_verdict():
    lines = list(compare.policy_goals({"refault+tmem": 60, "static+tmem": 100, "spread": 119}))
    assert lines == [
        ("refault+tmem / static+tmem: 0.600, goal <= 0.6: met", False),
        ("refault+tmem / spread: 0.504, goal <= 0.5: missed", True),
    ]
    assert not list(compare.policy_goals({"refault+tmem": 60, "static": 100}))
    assert compare.together([{"spread": 1, "refault": 2}, {"spread": 3}]) == {"spread": 4}


def test_tables_are_the_same_however_cells_end(tmp_path, monkeypatch):
    """Each cell has a machine that repeats, and rows stand in the order of the cells."""
    machines = []

    def run(iso, machine, timeout):
        machines.append(machine)
        return experiment.Outcome(emulator.Run(log=["[  1.500000] stat: guest=a verified=1", "[  1.500001] stat: guest=total ticks=7"]))

    monkeypatch.setattr(experiment, "build_image", lambda iso, base, overrides: iso.parent.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(experiment, "run", run)
    monkeypatch.setattr(image, "BUILD", tmp_path)
    manifest = {"guest": [{"name": "a", "memory_max": "8M"}], "tmem": {"pool_max": "11M"}}
    tasks = compare.tasks_of("qemu", [9 << 20, 11 << 20], [1, 2], ["tmem", "tmem_off"])
    tasks += compare.policy_tasks_of("bochs", 5 << 20, [1], ["spread"])
    texts = []
    for order in (tasks, tasks[::-1], tasks[3:] + tasks[:3]):
        table = compare.Table(tmp_path / "table.tsv")
        for task in order:
            compare.run_task(task, manifest, "base", 7, 60, table)
        table.sort(tasks)
        texts.append((tmp_path / "table.tsv").read_text())
    assert texts[0].count("\n") == 1 + 2 * (2 * 4 + 1) and texts == [texts[0]] * 3
    assert len(machines) == 3 * len(tasks)
    assert all(m.seed == 7 and m.instruction_ns == 1 and m.cpus == 1 for m in machines)


def test_policies_are_a_table():
    pages = {"static+tmem": 1, "static": 2, "refault+tmem+volatile": 3, "refault+volatile": 4, "spread": 5}
    assert [line.split() for line in compare.policy_rows(pages)] == [
        ["static", "1", "2", "-", "-"],
        ["refault", "-", "-", "3", "4"],
        ["spread", "5"],
    ]


LOG = [
    "[  0.000000] Sluice, a micro-hypervisor",
    "guest a: stat: guest=b verified=1",
    "guest a:  two words",
    "[  1.500000] stat: guest=a reason=all halted code=0 verified=0 disk_sectors=12",
    "[  1.500001] stat: guest=a more=0x1",
    "[  1.500002] stat: machine backend=SVM cpus=2 audit_errors=0",
]


def test_figures_are_read_from_the_hypervisors_lines_only():
    guests = serial_log.stats_of_guests(LOG)
    assert list(guests) == ["a"]
    assert guests["a"]["reason"] == "all halted"
    assert guests["a"]["disk_sectors"] == 12 and guests["a"]["more"] == "0x1"
    assert serial_log.stats_of_machine(LOG)["audit_errors"] == 0
    assert serial_log.guest_lines(LOG, "a") == ["stat: guest=b verified=1", " two words"]
    assert serial_log.seconds_of(LOG[3]) == 1.5


HEADER = "test\tbackend\tcpus\tresult\tseconds\n"


@pytest.mark.parametrize(
    "arguments, parts, last, status",
    [
        ([], ["a\thost\t-\tpass\t0\n", "b\tqemu\t1\tpass\t2\n"], "2 passed, 0 failed", 0),
        ([], ["a\thost\t-\tpass\t0\nb\thost\t-\tfail\t0\n"], "1 passed, 1 failed", 1),
        ([], ["a\thost\t-\tnot run\t0\nb\thost\t-\tpass\t0\n"], "1 passed, 0 failed", 0),
        (["--complete"], ["a\thost\t-\tnot run\t0\nb\thost\t-\tpass\t0\n"], "1 passed, 1 failed", 1),
        ([], ["a\thost\t-\tpass\t0\n", ""], "1 passed, 1 failed", 1),
        ([], ["a\thost\t-\tpass\t0\n", None], "1 passed, 1 failed", 1),
        ([], ["a\thost\t-\tperhaps\t0\n"], "0 passed, 1 failed", 1),
    ],
)
def test_the_report_counts_every_part(tmp_path, arguments, parts, last, status):
    paths = [tmp_path / f"part{n}.tsv" for n in range(len(parts))]
    for path, rows in zip(paths, parts):
        if rows is not None:
            path.write_text(HEADER + rows, encoding="utf-8")
    program = image.ROOT / "tools" / "check_report.py"
    out = tmp_path / "check.tsv"
    result = subprocess.run(
        [sys.executable, program, *arguments, out, *paths], capture_output=True, text=True, check=False
    )
    assert result.stdout.splitlines()[-1] == last
    assert result.returncode == status
    assert out.read_text(encoding="utf-8").startswith(HEADER)


def test_modules_are_found_or_named(tmp_path):
    (tmp_path / "k.elf").write_bytes(b"")
    manifest = tomllib.loads(BASE)
    assert image.module_names(manifest) == ["k"]
    assert image.find_modules(["k"], [tmp_path]) == {"k": tmp_path / "k.elf"}
    with pytest.raises(image.ImageError, match="module 'x', which is none of: .*x, .*x.elf"):
        image.find_modules(["x"], [tmp_path])


def test_what_a_nested_qemu_needs():
    """The libraries by ldd, the loader too; and its arguments, which say KVM and no number of processors."""
    ldd = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibz.so.1 => /lib/libz.so.1 (0x00007f)\n\tlibx.so => not found\n\t/lib64/ld.so.2 (0x00007f)\n"
    assert nested_kvm.libraries(ldd) == ["/lib/libz.so.1", "/lib64/ld.so.2"]
    arguments = " ".join(nested_kvm.inner_arguments("/sluice.iso"))
    assert "-accel kvm -cpu host" in arguments and "file=/sluice.iso," in arguments and "-smp" not in arguments
