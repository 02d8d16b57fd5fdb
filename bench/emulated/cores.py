"""The ARM cores that can be emulated, and what their ``/proc/cpuinfo`` says.

Nothing comes in; out comes :data:`CORES`, one :class:`Core` a name. qemu-user shows a program the cpuinfo of this
machine, at which the ARM engines crash; so each core has one of its own. Its ``Features`` must be those that the
emulated core has, or an engine dies of an illegal instruction: :mod:`bench.emulated.checks` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["arm64", "armhf"]  # Debian's names
EMULATED = "qemu-user"  # in cpuinfo's Hardware line: by it the runner knows that no clock here is to be believed


@dataclass(frozen=True)
class Core:
    """One emulated core: ``cpu`` for qemu's ``-cpu``, ``part`` Arm's part number (MIDR_EL1), ``features`` in the
    kernel's words (arch/arm64/kernel/cpuinfo.c); ``boards`` that have it."""

    name: str
    architecture: Architecture
    cpu: str
    part: int
    features: tuple[str, ...]
    boards: str

    @property
    def device(self) -> str:
        """The device's name in results."""
        return f"emulated-{self.name}"

    @property
    def qemu(self) -> str:
        return "qemu-aarch64" if self.architecture == "arm64" else "qemu-arm"

    def cpuinfo(self) -> str:
        """``/proc/cpuinfo`` of a machine with one such core."""
        return (
            "processor\t: 0\n"
            "BogoMIPS\t: 108.00\n"
            f"Features\t: {' '.join(self.features)}\n"
            "CPU implementer\t: 0x41\n"
            f"CPU architecture: {8 if self.architecture == 'arm64' else 7}\n"
            "CPU variant\t: 0x0\n"
            f"CPU part\t: {self.part:#05x}\n"
            "CPU revision\t: 3\n"
            "\n"
            f"Hardware\t: {EMULATED}\n"
        )


_A53 = ("fp", "asimd", "evtstrm", "crc32", "cpuid")
_A76 = (
    *("fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp", "cpuid"),
    *("asimdrdm", "lrcpc", "dcpop", "asimddp"),
)
_A7 = (
    *("half", "thumb", "fastmult", "vfp", "edsp", "neon", "vfpv3", "tls", "vfpv4", "idiva", "idivt", "vfpd32", "lpae"),
    "evtstrm",
)
CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core("cortex-a53", "arm64", "cortex-a53", 0xD03, _A53, "Raspberry Pi 3 and Zero 2 W"),
        Core("cortex-a72", "arm64", "cortex-a72", 0xD08, _A53, "Raspberry Pi 4"),
        Core("cortex-a76", "arm64", "cortex-a76", 0xD0B, _A76, "Raspberry Pi 5"),
        Core("armhf", "armhf", "cortex-a7", 0xC07, _A7, "Raspberry Pi 2, 32-bit systems"),
    )
}
