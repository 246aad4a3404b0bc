"""The manifest's parser against Python's tomllib: what it accepts, tomllib accepts with the same values, and
what tomllib refuses, it refuses. Documents are random, in the subset and around it."""

import json
import random
import subprocess
import tomllib

import pytest

from image import CHECKER

SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
SIZE_KEYS = {"reserve", "pool_max", "memory_min", "memory_start", "memory_max", "preswap_max",
             "precache_max", "size"}
TABLES = {
    "machine": {
        "reserve": 0,
        "log_level": "info",
        "console": "uart",
        "when_done": "power-off",
        "on_bug": "halt",
        "copy": "auto",
    },
    "tmem": {"enabled": True, "pool_max": 0, "eviction": "adaptive", "zero_pages": True, "keys_only": False, "dedup": "none", "compress": "none"},
    "balloon": {"policy": "refault", "memory": 0, "tick_ms": 100, "wait_memory_s": 30},
    "guest": {
        "name": "",
        "kernel": "",
        "initrd": "",
        "cmdline": "",
        "memory_min": None,
        "memory_max": 0,
        "memory_start": 0,
        "vcpus": 1,
        "cpus": 0,
        "weight": 100,
        "tmem": True,
        "tmem_share": 100,
        "priority": 100,
        "max_refaults_per_second": 0,
        "preswap_max": (1 << 64) - 1,
        "precache_max": 0,
        "dedup_group": "",
        "tmem_zero_pages": "machine",
        "tmem_dedup": "machine",
        "tmem_compress": "machine",
        "rng": True,
        "privileged": False,
        "time_limit": 0,
        "restart": "never",
    },
    "disk": {"name": "", "module": "", "size": 0, "service_us": 0},
    "shared_pool": {"uuid": "", "weight": 100},
}


def size_of(text):
    suffix = text[-1] if text[-1] in "KMG" else ""
    return int(text.removesuffix(suffix)) * SIZES[suffix]


def expected_table(kind, table):
    row = dict(TABLES[kind])
    for key, value in table.items():
        if key in ("disk", "shared_pool"):
            continue
        if key == "uuid":
            value = value.lower()
        if key in SIZE_KEYS:
            value = size_of(value)
        elif key == "cpus":
            value = sum(1 << cpu for cpu in value)
        row[key] = value
    if row.get("memory_min", 0) is None:
        row["memory_min"] = row["memory_max"]
    return row


def expected(document):
    """What the checker's dump must say of a document that tomllib has read."""
    dump = {name: expected_table(name, document.get(name, {})) for name in ("machine", "tmem", "balloon")}
    dump["guest"] = []
    for guest in document.get("guest", []):
        row = expected_table("guest", guest)
        for part in ("disk", "shared_pool"):
            row[part] = [expected_table(part, table) for table in guest.get(part, [])]
        dump["guest"].append(row)
    return dump


def without_places(dump):
    for guest in dump["guest"]:
        assert guest.pop("bad") is False
        guest.pop("line")
        for table in guest["disk"] + guest["shared_pool"]:
            table.pop("line")
    return dump


def check(text):
    result = subprocess.run(
        [CHECKER, "--json", "-"], input=text, capture_output=True, timeout=20, check=False
    )
    assert result.returncode in (0, 1), result.stderr
    return without_places(json.loads(result.stdout)) if result.returncode == 0 else None


def read(text):
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None


class Writer:
    """Writes random documents; one in three or so has something wrong or unusual in it."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def blank(self):
        return self.random.choice(["", "", " ", "\t", "  "])

    def end(self):
        comment = self.random.choice(["", "", "", " # a comment", "#é€", "# tab\t[x"])
        return self.blank() + comment + self.random.choice(["\n", "\n", "\n", "\r\n", "\n\n"])

    def string(self, text):
        if self.random.random() < 0.3 and "'" not in text and "\\" not in text:
            return f"'{text}'"
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
        return f'"{escaped}"'

    def size(self):
        return self.string(
            self.random.choice(["1M", "2M", "16M", "64M", "1G", "4096K", "8388608", "1048576"])
        )

    def integer(self, low, high):
        number = self.random.randint(low, high)
        text = f"{number:_}" if self.random.random() < 0.2 else str(number)
        return self.random.choice(["", "", "", "+"]) + text

    def cpus(self):
        cpus = self.random.sample(range(64), self.random.randint(1, 5))
        separator = self.random.choice([",", ", ", " ,\n\t", ", # x\n"])
        tail = self.random.choice(["", ",", " ", ",\n"])
        return "[" + self.blank() + separator.join(map(str, cpus)) + tail + "]"

    def text(self):
        alphabet = "abcXYZ 019=/.,\"\\\t#[]é€😀'"
        return self.string("".join(self.random.choices(alphabet, k=self.random.randint(0, 40))))

    def boolean(self):
        return self.random.choice(["true", "false"])

    def keys(self, table, required, optional):
        chosen = [k for k in optional if self.random.random() < 0.3]
        pairs = [*required, *chosen]
        self.random.shuffle(pairs)
        return "".join(
            f"{self.blank()}{key}{self.blank()}={self.blank()}{value()}{self.end()}"
            for key, value in pairs
        )

    def machine(self):
        choice = lambda *names: (lambda: self.string(self.random.choice(names)))
        return f"[{self.blank()}machine{self.blank()}]{self.end()}" + self.keys(
            "machine",
            [],
            [
                ("reserve", self.size),
                ("log_level", choice("error", "warn", "info", "debug")),
                ("console", choice("uart", "ring")),
                ("when_done", choice("power-off", "halt", "reboot")),
                ("on_bug", choice("halt", "reboot")),
                ("copy", choice("auto", "sse", "movsq", "movsb", "nontemporal")),
            ],
        )

    def tmem(self):
        pools = lambda: self.string(self.random.choice(("none", "precache", "preswap", "all")))
        return f"[tmem]{self.end()}" + self.keys(
            "tmem",
            [],
            [
                ("enabled", self.boolean),
                ("pool_max", self.size),
                ("eviction", lambda: self.string(self.random.choice(("adaptive", "fifo")))),
                ("zero_pages", self.boolean),
                ("keys_only", self.boolean),
                ("dedup", pools),
                ("compress", pools),
            ],
        )

    def balloon(self):
        return f"[balloon]{self.end()}" + self.keys(
            "balloon",
            [],
            [
                ("policy", lambda: self.string(self.random.choice(["static", "alternate", "shares"]))),
                ("tick_ms", lambda: self.integer(10, 60000)),
                ("wait_memory_s", lambda: self.integer(1, 3600)),
            ],
        )

    def guest(self, number):
        text = f"[[guest]]{self.end()}" + self.keys(
            "guest",
            [
                ("name", lambda: self.string(f"guest-{number}")),
                ("kernel", lambda: self.string(self.random.choice(["k", "kernel.elf"]))),
                ("memory_max", lambda: self.string("1G")),
            ],
            [
                ("memory_start", lambda: self.string("1G")),
                ("initrd", lambda: self.string("initrd")),
                ("cmdline", self.text),
                ("memory_min", self.size),
                ("vcpus", lambda: self.integer(1, 8)),
                ("cpus", self.cpus),
                ("weight", lambda: self.integer(1, 1000)),
                ("tmem", self.boolean),
                ("tmem_share", lambda: self.integer(1, 1000)),
                ("priority", lambda: self.integer(1, 10000)),
                ("max_refaults_per_second", lambda: self.integer(1, 1000000)),
                ("preswap_max", self.size),
                ("precache_max", self.size),
                ("dedup_group", lambda: self.string(self.random.choice(["a", "web"]))),
                *(
                    (key, lambda: self.string(self.random.choice(("none", "precache", "preswap", "all", "machine"))))
                    for key in ("tmem_zero_pages", "tmem_dedup", "tmem_compress")
                ),
                ("rng", self.boolean),
                ("privileged", self.boolean),
                ("time_limit", lambda: self.integer(1, 1000000)),
                ("restart", lambda: self.string(self.random.choice(("never", "operator", "reboot", "failure", "always")))),
            ],
        )
        for disk in range(self.random.choice([0, 0, 1, 2])):
            kind = self.random.choice(
                [("module", lambda: self.string("data.img")), ("size", self.size)]
            )
            text += f"[[ guest.disk ]]{self.end()}" + self.keys(
                "disk",
                [("name", lambda: self.string(f"disk{disk}")), kind],
                [("service_us", lambda: self.integer(0, 10000000))],
            )
        for pool in range(self.random.choice([0, 0, 1, 2])):
            uuid = f"{self.random.getrandbits(32):08x}-0000-4000-8A0{pool}-{self.random.getrandbits(48):012X}"
            text += f"[[guest.shared_pool]]{self.end()}" + self.keys(
                "shared_pool",
                [("uuid", lambda: self.string(uuid))],
                [("weight", lambda: self.integer(1, 1000))],
            )
        return text

    def good(self):
        tables = [self.machine(), self.tmem(), self.balloon()][: self.random.randint(0, 3)]
        return "".join(tables + [self.guest(n) for n in range(self.random.randint(1, 4))])

    def damaged(self):
        """A good document with some of its characters removed, doubled or replaced."""
        text = self.good()
        for _ in range(self.random.randint(1, 3)):
            at = self.random.randrange(len(text))
            new = self.random.choice(
                ["", text[at] * 2, *"\"'[]=#,.\\\n\r\t_-+0e\0\x7f", '"""', "\\n", "\\u0041", "1979-05-27"]
            )
            text = text[:at] + new + text[at + 1 :]
        return text.encode()


@pytest.mark.parametrize("block", range(4))
def test_good_documents_have_equal_values(block):
    for seed in range(block * 100, block * 100 + 100):
        text = Writer(seed).good().encode()
        document = read(text)
        assert document is not None, text
        assert check(text) == expected(document), text


@pytest.mark.parametrize("block", range(8))
def test_damaged_documents_are_accepted_only_where_tomllib_agrees(block):
    accepted = refused = 0
    for seed in range(block * 200, block * 200 + 200):
        text = Writer(seed + 1000000).damaged()
        dump, document = check(text), read(text)
        if document is None:
            refused += 1
            assert dump is None, text
        if dump is not None:
            accepted += 1
            assert dump == expected(document), text
    assert accepted > 5 and refused > 50  # both sides of the border were visited


SPECIAL = [
    b"a = 1\na = 2\n",
    b"[tmem]\n[tmem]\n",
    b"[[tmem]]\n",
    b"[guest]\n[[guest]]\n",
    b"[tmem]\nenabled = true\rpool_max = '1M'\n",
    b"\xef\xbb\xbf[tmem]\n",
    b"# \xed\xa0\x80\n",
    b"# \xf4\x90\x80\x80\n",
    b"# \x00\n",
    b"[tmem]\nenabled = True\n",
    b"[tmem] enabled = true\n",
    b"[tmem\n]\n",
    b"[ [guest] ]\n",
    b"[[guest] ]\n",
    b"[[guest]]\nweight = 1_\n",
    b"[[guest]]\nweight = _1\n",
    b"[[guest]]\nweight = 00\n",
    b"[[guest]]\nweight = -00\n",
    b"[[guest]]\ncpus = [,]\n",
    b"[[guest]]\ncpus = [1,,2]\n",
    b"[[guest]]\nname = \"a\\\n b\"\n",
]


@pytest.mark.parametrize("text", SPECIAL, ids=lambda text: ascii(text)[2:-1])
def test_what_tomllib_refuses_is_refused(text):
    good = b'[[guest]]\nname = "g"\nkernel = "k"\nmemory_max = "1M"\n'
    assert read(text + good) is None or check(text + good) is None
    assert check(text + good) is None
