"""The kinds of devices: one line a kind says by which addresses it is known, where its class is and which names it has.

In: an address as a user types it, or the name of a folder of results. Out: the device of that address
(:class:`~bench.devices.device.AnyDevice`), whose module is imported no sooner; and which kind a name belongs to.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice

HERE = "host"


@dataclass(frozen=True)
class DeviceKind:
    """``address``: the whole address of its one device, or, with a colon at its end or where ``begins`` says so, how
    those of its devices begin; empty: any. ``where``: its class, ``package.module:Class``.

    ``named``: results of its devices lie under names of its own, the address itself or, of ``emulated:cortex-a72``,
    ``emulated-cortex-a72``; no other device may have them. These words say whose they are; None: it has no such names.
    """

    address: str
    where: str
    named: str | None = None
    begins: bool = False

    def owns(self, address: str) -> bool:
        """True for the address of a device of this kind."""
        return not self.address or address == self.address or (self._several and address.startswith(self.address))

    def took(self, name: str) -> bool:
        """True for a name of results that only devices of this kind may have, in whatever case."""
        own = self.address.replace(":", "-")
        name = name.casefold()
        with_provider = name.startswith(f"{own}+")
        return self.named is not None and (name == own or with_provider or (self._several and name.startswith(own)))

    def device(self, address: str, asked: Asked, python: str) -> AnyDevice:
        """The device of an address of this kind. Raises InputError."""
        kind: type[AnyDevice] = pkgutil.resolve_name(self.where)
        return kind.at(address.removeprefix(self.address) if self._several else address, asked, python)

    @property
    def _several(self) -> bool:
        return self.begins or self.address.endswith(":")


KINDS = (
    DeviceKind(HERE, "pulseproof.bench.devices.local:Here", "as this machine is"),
    DeviceKind("emulated:", "pulseproof.bench.devices.emulated.device:Emulated", "as emulated cores are"),
    DeviceKind(
        "emulated:cortex-m", "pulseproof.bench.devices.micro.device:EmulatedMicro", "as emulated cores are", begins=True
    ),
    DeviceKind("carried:", "pulseproof.bench.devices.carried:Carried"),
    DeviceKind("", "pulseproof.bench.devices.ssh:OverSsh"),
)


def device_at(address: str, asked: Asked, python: str = "python3") -> AnyDevice:
    """The device of an address as it is typed, of the kind that says most of it. Raises InputError."""
    owners = [kind for kind in KINDS if kind.owns(address)]
    return max(owners, key=lambda kind: len(kind.address)).device(address, asked, python)


def expect_free(name: str) -> str:
    """The name itself. Raises ValueError, a sentence, for a name that a kind of devices has for its own.

    Results of a device lie in a folder of its name, and those of this machine are what others are compared with. A
    device called as it is, by whichever door it comes (``pi@host``, a ``[host]`` table, a ``results.zip`` from one),
    would overwrite its rows with other evidence.
    """
    for kind in KINDS:
        if kind.took(name):
            raise ValueError(f"a device cannot be called {name!r}, {kind.named}: give it another name")
    return name
