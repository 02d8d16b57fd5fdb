"""Results of this machine are safe: no device is called as it is, or as an emulated core, whatever door it comes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.asked import Asked
from bench.device_names import expect_free
from bench.devices.spec import at_address, read_devices
from bench.emulated.cores import CORES
from bench.local import DEVICE
from core.errors import InputError

TAKEN = [DEVICE, DEVICE.upper(), *(core.device for core in CORES.values()), "Emulated-new"]


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_is_taken(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be called"):
        expect_free(name)
    with pytest.raises(InputError, match="cannot be called"):
        at_address(f"pi@{name}", Asked())
    path = tmp_path / "devices.toml"
    path.write_text(f'[{name}]\naddress = "pi@board"\n')
    with pytest.raises(InputError, match="cannot be called"):
        read_devices(path)


@pytest.mark.parametrize("name", ["pi4", "hosting", "my-host", "not-emulated-core"])
def test_a_name_that_is_free(name: str) -> None:
    assert expect_free(name) == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[pi4]\nlimit = {'9' * 5000}", "thousands of digits"),
        (f"x = {'[' * 20_000}{']' * 20_000}", "nested too deep"),
        ('[pi4]\naddress = "a"\nminutes = inf', "minutes"),
        ('[pi4]\naddress = "a"\nthreads = 1000000', "threads"),
    ],
)
def test_a_file_of_devices_that_cannot_be(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=said) as refused:
        read_devices(path)
    assert str(path) in refused.value.what
