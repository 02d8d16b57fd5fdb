"""The cores that can be emulated, ARM's and two of x86, and what their ``/proc/cpuinfo`` says.

Nothing comes in; out comes :data:`CORES`, one :class:`Core` a name. qemu-user shows a program the cpuinfo of this
machine, at which the ARM engines crash, and by which an x86 one would take this machine's kernels; so each core has one
of its own. Its features must be those that the emulated core has, or an engine dies of an illegal instruction:
:mod:`bench.devices.emulated.checks` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["arm64", "armhf", "amd64"]  # Debian's names
PREFIX = "emulated-"  # of its device's name
EMULATED = "qemu-user"  # in cpuinfo: by it the runner knows that no clock here is to be believed
QEMU: dict[Architecture, str] = {"arm64": "qemu-aarch64", "armhf": "qemu-arm", "amd64": "qemu-x86_64"}


@dataclass(frozen=True)
class Core:
    """One emulated core: ``cpu`` for qemu's ``-cpu``; ``part`` Arm's part number (MIDR_EL1), or Intel's signature of
    family, model and stepping (CPUID leaf 1, EAX); ``features`` in the kernel's words (arch/arm64/kernel/cpuinfo.c,
    arch/x86/include/asm/cpufeatures.h); ``machines`` that have it. ``saturates``: ONNX Runtime multiplies unsigned by
    signed bytes with an instruction there that adds two products in 16 bits (VPMADDUBSW), which 8-bit weights
    overflow (onnxruntime #6004, #14642)."""

    name: str
    architecture: Architecture
    cpu: str
    part: int
    features: tuple[str, ...]
    machines: str
    saturates: bool = False

    @property
    def device(self) -> str:
        """The device's name in results."""
        return f"{PREFIX}{self.name}"

    @property
    def qemu(self) -> str:
        return QEMU[self.architecture]

    def cpuinfo(self) -> str:
        """``/proc/cpuinfo`` of a machine with one such core."""
        return self._intel() if self.architecture == "amd64" else self._arm()

    def _arm(self) -> str:
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

    def _intel(self) -> str:
        return (
            "processor\t: 0\n"
            "vendor_id\t: GenuineIntel\n"
            f"cpu family\t: {self.part >> 8 & 0xF}\n"
            f"model\t\t: {(self.part >> 12 & 0xF0) | (self.part >> 4 & 0xF)}\n"
            f"model name\t: {self.name} under {EMULATED}\n"
            f"stepping\t: {self.part & 0xF}\n"
            "physical id\t: 0\n"
            "siblings\t: 1\n"
            "core id\t\t: 0\n"
            "cpu cores\t: 1\n"
            "apicid\t\t: 0\n"
            f"flags\t\t: {' '.join(self.features)}\n"
            "\n"
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
_NEHALEM = (
    *("fpu", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov"),
    *("pat", "pse36", "clflush", "mmx", "fxsr", "sse", "sse2", "syscall", "nx", "lm"),
    *("pni", "ssse3", "cx16", "sse4_1", "sse4_2", "popcnt", "hypervisor", "lahf_lm"),
)
_HASWELL = (
    *(*_NEHALEM, "rdtscp", "pclmulqdq", "fma", "movbe", "aes", "xsave", "avx", "f16c", "rdrand", "abm"),
    *("fsgsbase", "bmi1", "avx2", "smep", "bmi2", "erms"),
)
# What qemu does not emulate of a Haswell, and would warn of at every start.
_NOT_OF_HASWELL = "-pcid,-x2apic,-tsc-deadline,-invpcid"
CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core("cortex-a53", "arm64", "cortex-a53", 0xD03, _A53, "Raspberry Pi 3 and Zero 2 W"),
        Core("cortex-a72", "arm64", "cortex-a72", 0xD08, _A53, "Raspberry Pi 4"),
        Core("cortex-a76", "arm64", "cortex-a76", 0xD0B, _A76, "Raspberry Pi 5"),
        Core("armhf", "armhf", "cortex-a7", 0xC07, _A7, "Raspberry Pi 2, 32-bit systems"),
        Core(
            *("x86-haswell", "amd64", f"Haswell-noTSX,{_NOT_OF_HASWELL}", 0x306C1, _HASWELL),
            machines="x86 with AVX2 and without VNNI: Intel from 2013 (Haswell to Skylake), AMD from 2017 (Zen 1 to 3)",
            saturates=True,
        ),
        Core("x86-nehalem", "amd64", "Nehalem", 0x106A3, _NEHALEM, "x86 without AVX: Intel from 2008, older Atoms"),
    )
}
