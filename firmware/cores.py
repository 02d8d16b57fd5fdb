"""The microcontroller cores that firmware is built for and run on, and the boards of QEMU that have them.

Nothing comes in; out comes :data:`MICRO_CORES`. The boards are Arm's own FPGA images (MPS2, MPS3), as
``hw/arm/mps2.c`` and ``hw/arm/mps2-tz.c`` of QEMU describe them: where code and data lie is theirs, and no
microcontroller's that one can buy. What is counted on them is instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class MicroCore:
    """``flags``: for the compiler. ``machine``: QEMU's. Memory as (start, bytes): ``vectors``, read at reset; ``flash``
    for code and constants, ``ram``. ``clock_hz``: at which SysTick counts; of a virtual nanosecond an instruction
    (``-icount shift=0``), a tick is ``1e9 / clock_hz`` instructions.
    ``features``: with what CMSIS-NN computes on it, SIMD of 32 bits or vectors; ``most_per_cycle``: instructions
    that it completes at most (Arm's technical reference manuals: the M4 issues one, the others may issue two);
    ``like``: parts that have this core."""

    name: str
    flags: tuple[str, ...]
    machine: str
    vectors: tuple[int, int]
    flash: tuple[int, int]
    ram: tuple[int, int]
    clock_hz: int
    features: str
    most_per_cycle: int
    like: str

    @property
    def device(self) -> str:
        """The device's name in results."""
        return f"emulated-{self.name}"  # PREFIX of bench.devices.emulated.cores

    @property
    def instructions_per_tick(self) -> float:
        """See ``clock_hz``."""
        return 1e9 / self.clock_hz


_SOFT = ("-mthumb", "-mfloat-abi=hard")
_MPS2 = {"vectors": (0, 1 * KIB), "flash": (1 * KIB, 4 * MIB - 1 * KIB), "ram": (0x2000_0000, 4 * MIB)}
MICRO_CORES: dict[str, MicroCore] = {
    core.name: core
    for core in (
        MicroCore(
            "cortex-m4",
            ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", *_SOFT),
            "mps2-an386",
            **_MPS2,
            clock_hz=25_000_000,
            features="dsp",
            most_per_cycle=1,
            like="nRF52, STM32F4, STM32L4, Apollo3",
        ),
        MicroCore(
            "cortex-m7",
            ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", *_SOFT),
            "mps2-an500",
            **_MPS2,
            clock_hz=25_000_000,
            features="dsp",
            most_per_cycle=2,
            like="STM32F7, STM32H7, i.MX RT",
        ),
        MicroCore(
            "cortex-m33",
            ("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", *_SOFT),
            "mps2-an505",
            vectors=(0x1000_0000, 1 * KIB),
            flash=(0x1000_0400, 4 * MIB - 1 * KIB),
            ram=(0x3800_0000, 4 * MIB),
            clock_hz=20_000_000,
            features="dsp",
            most_per_cycle=2,
            like="nRF5340, nRF9160, STM32L5, STM32U5",
        ),
        MicroCore(
            "cortex-m55",
            ("-mcpu=cortex-m55", *_SOFT),
            "mps3-an547",
            vectors=(0, 1 * KIB),
            flash=(0x0100_0000, 2 * MIB),
            ram=(0x2100_0000, 4 * MIB),
            clock_hz=32_000_000,
            features="mve",
            most_per_cycle=2,
            like="Alif Ensemble, Apollo510",
        ),
    )
}
