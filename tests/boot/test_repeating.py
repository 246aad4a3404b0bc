"""What the tests of policies stand on: a boot on a machine that repeats logs the same lines every time."""

import pytest

from test_devices import devices, randoms
from test_policies import worker

pytestmark = pytest.mark.repeats


@pytest.mark.backends("qemu", "bochs:corei7_icelake_u")
@pytest.mark.cpus(1)
def test_a_boot_repeats(sluice):
    """Random bytes, what a policy moves and time stamps, whatever else the host does; another seed makes other bytes."""
    guests = [devices("bytes")]
    if sluice.machine.backend == "qemu":  # time is no question in Bochs
        guests += [worker("hungry", 6, 2600, 1), worker("content", 8, 100, 1)]
    manifest = {"balloon": {"policy": "refault", "tick_ms": 20, "memory": "24M"}, "guest": guests}
    first, again, other = (sluice.boot(manifest, machine=sluice.attempt(n)) for n in (0, 0, 1))
    assert first.guests["bytes"]["verified"] == 1, first.tail()
    assert first.log == again.log
    assert not set(randoms(first, "bytes")) & set(randoms(other, "bytes"))
