"""Devices as they are typed and written down."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.carried import Carried
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.emulated.device import Emulated
from pulseproof.bench.devices.kinds import HERE, KINDS, DeviceKind, device_at, expect_free
from pulseproof.bench.devices.local import Here
from pulseproof.bench.devices.reach import named_devices, run_on_all
from pulseproof.bench.devices.spec import DeviceSpec, at_address, read_devices
from pulseproof.bench.devices.ssh import OverSsh
from pulseproof.core.errors import InputError


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("pi@raspberrypi.local", "raspberrypi.local"),
        ("board", "board"),
        ("me@192.168.0.4", "192.168.0.4"),
        ("a@b_c", "b-c"),
    ],
)
def test_a_device_is_named_after_its_host(address: str, name: str) -> None:
    spec = at_address(address, Asked(only=("cnn/*",), limit=5))
    assert (spec.name, spec.address) == (name, address)
    assert spec.asked().options() == ["--only", "cnn/*", "--limit", "5"]


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "", "a b", "a;b", "$(x)", "a`b`"])
def test_an_address_that_ssh_or_a_shell_would_take_otherwise_is_refused(address: str) -> None:
    with pytest.raises(InputError, match="name it as ssh does"):
        at_address(address, Asked())


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("pi@board:2222", "pi@board"),
        ("192.168.0.12:2222", "192.168.0.12"),
        ("pi@[::1]:2222", "pi@[::1]"),
        ("ssh://pi@board:2222", "pi@board"),
    ],
)
def test_a_port_in_an_address_gets_its_explanation(address: str, host: str) -> None:
    with pytest.raises(
        InputError, match=re.escape(f"ssh takes no port behind a host: name {host}, and write")
    ) as error:
        at_address(address, Asked())
    assert "Port 2222" in str(error.value) and '["ssh", "-p", "2222"]' in str(error.value)
    assert at_address("pi@fe80::1", Asked()).address == "pi@fe80::1"


def test_a_file_of_devices(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text('[pi4]\naddress = "pi@a"\n[pi5]\naddress = "pi@b"\nthreads = 4\nsets = ["clean"]\nminutes = 30\n')
    assert read_devices(path) == [
        DeviceSpec(name="pi4", address="pi@a"),
        DeviceSpec(name="pi5", address="pi@b", threads=4, sets=("clean",), minutes=30),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no device"),
        ("[pi4", "not valid TOML"),
        ("pi4 = 3", "pi4: is no table"),
        ("[pi4]\nuser = 'pi'", r"\[pi4\]: address: Field required"),
        ("[pi4]\naddress = '-x'", r"\[pi4\]: address"),
        ("[pi4]\naddress = 'a'\nspeed = 9", r"\[pi4\]: speed"),
        ("[pi4]\naddress = 'a'\nfolder = '/tmp/$(x)'", r"\[pi4\]: folder"),
        ("['../x']\naddress = 'a'", r"\[../x\]: name"),
    ],
)
def test_a_damaged_file_of_devices(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "devices.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        read_devices(path)
    assert str(path) in refused.value.what


def test_what_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert named_devices([], None, Asked(limit=3)) == [Here(Asked(limit=3))]
    monkeypatch.setenv("PULSEPROOF_SSH", '["ssh", "-F", "my.config"]')
    host, core, board = named_devices(["host", "emulated:cortex-a72", "pi@b"], None, Asked(), "py")
    assert (host, core) == (Here(Asked()), Emulated("cortex-a72", Asked()))
    assert [each.name for each in (host, core, board)] == ["host", "emulated-cortex-a72", "b"]
    assert isinstance(board, OverSsh) and (board.spec.ssh, board.spec.python) == (("ssh", "-F", "my.config"), "py")
    monkeypatch.setenv("PULSEPROOF_SSH", "ssh -F my.config")
    with pytest.raises(InputError, match="not a JSON list"):
        named_devices(["pi@b"], None, Asked())
    twice = [OverSsh(DeviceSpec(name="a", address=address)) for address in ("x", "y")]
    with pytest.raises(InputError, match="two devices are called a"):
        run_on_all(twice, tmp_path, tmp_path)


# {address: (its kind, its name)}; what only looks like a kind's is one for ssh.
ADDRESSES: dict[str, tuple[type[AnyDevice], str]] = {
    "host": (Here, "host"),
    "emulated:cortex-a53": (Emulated, "emulated-cortex-a53"),
    "emulated:": (Emulated, "emulated-"),
    "carried:a/results.zip": (Carried, "results.zip"),
    "hosting": (OverSsh, "hosting"),
    "emulated": (OverSsh, "emulated"),
    "pi@carried": (OverSsh, "carried"),
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_of_one_kind(address: str) -> None:
    kind, name = ADDRESSES[address]
    device = device_at(address, Asked())
    assert type(device) is kind and device.name == name


def test_the_table_has_a_device_in_every_line_and_takes_every_address() -> None:
    typed = [f"{kind.address}x" if kind.address != HERE else HERE for kind in KINDS]
    kinds = {type(device_at(each, Asked())) for each in typed}
    assert len(kinds) == len(KINDS) and all(AnyDevice in kind.__mro__ for kind in kinds)
    assert len({kind.address for kind in KINDS}) == len(KINDS)


def test_a_name_that_a_kind_has_for_its_own_is_free_to_no_other() -> None:
    for name in ("host", "HOST", "emulated-x", "Emulated-"):
        with pytest.raises(ValueError, match="cannot be called"):
            expect_free(name)
    kind = DeviceKind("jar:", "nowhere:Nothing", "as jars are")
    assert kind.took("jar-pi") and kind.took("JAR-") and not kind.took("jars") and not kind.took("a-jar-")
    assert not DeviceKind("jar:", "nowhere:Nothing").took("jar-pi")
