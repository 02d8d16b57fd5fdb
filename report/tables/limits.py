"""What fits into a microcontroller: the limits of ``[bench.limits]`` against what firmware took on emulated cores.

In: the lines of :mod:`report.numbers.machines`, and the limits of a study. Out: a sentence an artifact and core. Flash
and RAM are the linker's, with the deepest stack that was seen. Of time only the least is known, an estimate: a core
completes at most so many instructions a cycle (Arm's technical reference manuals), and waits for flash in between. What
is too slow by that is too slow; what is not may be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.core.study import LimitsSpec
from pulseproof.firmware.cores import MICRO_CORES
from pulseproof.report.numbers.machines import MachineLine
from pulseproof.report.numbers.texts import auc_text


@dataclass(frozen=True)
class FitVerdict:
    """One artifact on one core. ``flash_kb`` and ``ram_kb`` (with the stack) of 1024 bytes; ``least_ms``: the estimate,
    None without a clock in the limits. ``lacks``: what it does not keep; ``text``: the sentence."""

    device: str
    artifact: str
    flash_kb: float
    ram_kb: float
    least_ms: float | None
    lacks: tuple[str, ...]
    text: str

    @property
    def fits(self) -> bool:
        """True for one that keeps every limit, as far as it is known."""
        return not self.lacks


def verdicts(lines: Sequence[MachineLine], limits: LimitsSpec) -> list[FitVerdict]:
    """One for each artifact that was firmware on a core, those that fit first, by their lowest AUC."""
    found: list[tuple[float, FitVerdict]] = []
    places = dict.fromkeys((line.device, line.model, line.recipe) for line in lines if line.flash_kb is not None)
    for device, model, recipe in places:
        mine = [line for line in lines if (line.device, line.model, line.recipe) == (device, model, recipe)]
        aucs = [line.auc for line in mine if line.auc is not None]
        found.append((min(aucs, default=0.0), _verdict(mine, limits)))
    return [each for _, each in sorted(found, key=lambda one: (not one[1].fits, -one[0]))]


def _verdict(mine: Sequence[MachineLine], limits: LimitsSpec) -> FitVerdict:
    first = mine[0]
    assert first.flash_kb is not None and first.ram_kb is not None and first.stack_kb is not None
    core = MICRO_CORES[first.device.removeprefix("emulated-")]
    flash, ram = first.flash_kb, first.ram_kb + first.stack_kb
    count = max((line.instructions or 0.0 for line in mine), default=0.0)
    least = None if limits.mhz is None else count / (core.most_per_cycle * limits.mhz * 1e3)
    lacks = []
    parts = []
    for what, has, most, unit in (("flash", flash, limits.flash_kb, "kB"), ("RAM", ram, limits.ram_kb, "kB")):
        parts.append(f"{what} {has:.0f}" + (f" of {most:g} {unit}" if most is not None else f" {unit}"))
        if most is not None and has > most:
            lacks.append(what)
    if least is not None:
        deadline = "" if limits.deadline_ms is None else f" of {limits.deadline_ms:g}"
        each = "one instruction" if core.most_per_cycle == 1 else f"{core.most_per_cycle} instructions"
        parts.append(f"at least {least:.0f}{deadline} ms at {limits.mhz:g} MHz (estimate: at most {each} a cycle)")
        if limits.deadline_ms is not None and least > limits.deadline_ms:
            lacks.append("the deadline")
    aucs = "; ".join(f"{line.signals} {auc_text(line.auc)}" for line in mine)
    said = f"does not fit ({' and '.join(lacks)})" if lacks else "fits"
    artifact = f"{first.model}/{first.recipe}"
    text = f"{artifact} on {core.name} {said}: {', '.join(parts)}; AUC {aucs}"
    return FitVerdict(first.device, artifact, flash, ram, least, tuple(lacks), text)
