"""What a device is: an address as ``ssh`` takes it, and how a run on it is to be; from the command line or a file.

``devices.toml`` has a table for each device, all optional but the address:

    [pi4]
    address = "pi@192.168.0.12"     # or a Host of your ssh config
    python = "python3"              # or the one of a virtual environment there: ~/venv/bin/python
    folder = "pulseproof"           # where everything goes, relative to the home folder there
    only = ["cnn/*"]
    sets = ["clean", "pgd-*"]
    threads = 1
    limit = 200
    minutes = 0
    provider = "xnnpack"            # the execution provider that computes; default: as the engine chooses
    ssh = ["ssh", "-F", "my.config"]

Out comes a :class:`DeviceSpec`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pulseproof.bench.devices.asked import Asked, known_provider
from pulseproof.bench.devices.kinds import expect_free
from pulseproof.bench.wire.schema import plain
from pulseproof.core.errors import InputError
from pulseproof.core.toml_files import read_toml

# Never a "-" in front, of the host either: ssh, or what the user's config runs with it, would take it for an option.
ADDRESS = r"^[A-Za-z0-9_]([A-Za-z0-9_.:%\[\]-]|@[A-Za-z0-9_.:%\[\]])*$"
NAME = r"^[A-Za-z0-9](_?[A-Za-z0-9.+-]){0,127}$"
FOLDER = r"^[A-Za-z0-9_./~+-]+$"


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} has characters that cannot be printed")
    return text


def _without_port(address: Any) -> Any:
    """An address as ssh takes it: with a port it would look for a host of that whole name."""
    match = re.fullmatch(r"(?:ssh://)?(?P<host>[^:\[\]/]+|[^:]*\[[^\]]*\]):(?P<port>[0-9]{1,5})/?", str(address))
    if match is not None:
        host, port = match["host"], match["port"]
        name = host.rpartition("@")[2].strip("[]")
        raise ValueError(
            f"ssh takes no port behind a host: name {host}, and write in ~/.ssh/config 'Host {name}' with 'Port {port}'"
            f' below it, or in devices.toml ssh = ["ssh", "-p", "{port}"]'
        )
    return address


def _place(path: str) -> str:
    """A path there, with ``~`` for the home folder of whom ssh logs in as."""
    if path.startswith("-"):
        raise ValueError(f"{path!r} begins with '-', which commands take for an option: write ./{path}")
    if path.startswith("~") and path[:2] not in ("~", "~/"):
        raise ValueError(f"{path!r}: of '~' only your own home there is known, ~/: write the whole path")
    return path


Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_printable)]


class DeviceSpec(BaseModel):
    """One device. ``name`` names its folder of results; ``ssh`` the command that reaches it, ``python`` the interpreter
    there."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: Annotated[str, Field(pattern=NAME), AfterValidator(expect_free)]
    address: Annotated[str, Field(pattern=ADDRESS, max_length=300), BeforeValidator(_without_port)]
    python: Annotated[Text, AfterValidator(_place)] = "python3"
    folder: Annotated[Text, Field(pattern=FOLDER), AfterValidator(_place)] = "pulseproof"
    ssh: tuple[Text, ...] = Field(("ssh",), min_length=1)
    only: tuple[Text, ...] = ()
    sets: tuple[Text, ...] = ()
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    limit: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    minutes: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    provider: Annotated[str, AfterValidator(known_provider)] | None = None

    def asked(self) -> Asked:
        """What a run on it is asked for."""
        return Asked(self.only, self.sets, self.threads, self.limit, self.minutes, self.provider)


def at_address(address: str, asked: Asked, ssh: Sequence[str] = ("ssh",), python: str = "python3") -> DeviceSpec:
    """The device of an address as it is typed, named after its host. Raises InputError."""
    host = address.rpartition("@")[2]
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", host).strip("-.") or "device"
    fields = {"name": asked.named(name), "address": address, "ssh": tuple(ssh), "python": python, **vars(asked)}
    try:
        return DeviceSpec.model_validate(fields)
    except ValidationError as error:
        mend = "name it as ssh does (pi@raspberrypi.local), and its Python by a path there (--python)"
        raise InputError(f"device {address!r}: {_said(error)}", mend) from None


def read_devices(path: Path) -> list[DeviceSpec]:
    """The devices of a ``devices.toml``. Raises InputError that names the file, the device and the key."""
    mend = "docs/raspberry-pi.md shows such a file"
    try:
        tables = read_toml(path, mend)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", mend) from None
    if not tables:
        raise InputError(f"{path}: names no device", 'add [pi4] and address = "pi@host"')
    found = []
    for name, table in tables.items():
        shown = plain(name)[:80]
        if not isinstance(table, dict):
            raise InputError(f"{path}: {shown}: is no table", f"write [{shown}] above its keys")
        try:
            found.append(DeviceSpec.model_validate({"name": name, **table}))
        except ValidationError as error:
            raise InputError(f"{path}: [{shown}]: {_said(error)}", "docs/raspberry-pi.md lists the keys") from None
    return found


def _said(error: ValidationError) -> str:
    first = error.errors()[0]
    return plain(f"{'.'.join(map(str, first['loc']))[:80]}: {first['msg'].removeprefix('Value error, ')}")
