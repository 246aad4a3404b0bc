"""Control of tmem by a privileged guest (tests/guests/control/): freezing, saving and restoring another's pages,
a restorer that ends midway, a shared pool, and a guest that tries all of it without privilege.
"""

import pytest

from conftest import guest

SHARED = [{"uuid": "5105ce00-0000-0001-0000-000000000002"}]

# What each guest says at its end, in this order in the manifest.
SAYS = {
    "keeper": ["frozen", "thawed"],
    "heir": ["inherited"],
    "intruder": ["kept out"],
    "quitter": ["quits"],
    "warden": ["saved and restored"],
}


def role(name, **keys):
    return guest(name, "control", "8M", cmdline=name, **keys)


def guests():
    return [
        role("keeper", shared_pool=SHARED),
        role("heir", shared_pool=SHARED),
        role("intruder"),
        role("quitter", privileged=True),
        role("warden", privileged=True, shared_pool=SHARED),
    ]


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
def test_a_privileged_guest_moves_pages_from_one_guest_to_another(sluice):
    booted = sluice.boot(guests())
    assert {name: booted.lines(name) for name in SAYS} == SAYS
    for name in SAYS:
        assert booted.guests[name]["reason"] == "shutdown" and booted.guests[name]["verified"] == 1, name


@pytest.mark.backends("qemu")
@pytest.mark.cpus(1)
def test_modes_are_switched_by_guest_and_by_pool(sluice):
    booted = sluice.boot(
        {
            "tmem": {"zero_pages": True, "compress": "precache"},
            "guest": [role("switcher", privileged=True, tmem_dedup="all", tmem_compress="preswap")],
        }
    )
    assert booted.lines("switcher") == ["switched off"]
    assert booted.guests["switcher"]["verified"] == 1
    used = booted.row("tmem", "switcher")
    assert (used["puts"], used["equal_found"], used["shared_peak"]) == (10, 4, 6)
