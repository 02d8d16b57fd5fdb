"""How long a bundle will take on a device that was never seen: an estimate from counts of instructions.

In come a bundle's head and instructions per inference of its artifacts, from an emulated core of the same make; out
come seconds and a sentence. Evidence ``estimate``: a count is no time, and the rate is an assumption that is said with
it. It serves to choose the size of a bundle, and stands in no table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulseproof.bench.wire.results import DeviceResults
from pulseproof.bench.wire.schema import BundleHead
from pulseproof.report.numbers.machines import instructions

# A Cortex-A72 at 1.5 GHz (Raspberry Pi 4) that completes one instruction a cycle. It can complete three, and waits for
# memory in between; kernels of convolution come out faster than this, decision trees slower.
PI_4_PER_SECOND = 1.5e9
PI_4 = "emulated-cortex-a72"
START_S = 3.0  # to start Python, numpy and an engine from an SD card, once an artifact


def counts_of(head: BundleHead, devices: Sequence[DeviceResults], name: str = PI_4) -> dict[str, float]:
    """Instructions per inference of each artifact on the clean set of device ``name``; empty where nothing counted."""
    device = next((each for each in devices if each.name == name), None)
    clean = next((each.name for each in head.signals if each.method == "clean"), "clean")
    if device is None:
        return {}
    found = {each.name: instructions(device, each.name, clean) for each in head.artifacts}
    return {artifact: count for artifact, count in found.items() if count}


def expected_seconds(
    head: BundleHead, n: int, counts: Mapping[str, float], per_second: float = PI_4_PER_SECOND, start_s: float = START_S
) -> float:
    """The seconds that the artifacts in ``counts`` (instructions per inference) take with all their signal sets of
    ``n`` recordings: start and warm-up once each; on the clean set at least ``min_runs`` calls and ``min_s`` s."""
    total = 0.0
    for artifact in head.artifacts:
        if artifact.name not in counts:
            continue
        inference = counts[artifact.name] / per_second
        total += start_s + max(head.run.warmup_s, 20 * inference)  # steady is known after 20 calls
        for signals in head.signals:
            if not signals.is_for(artifact):
                continue
            calls = max(n, head.run.min_runs) if signals.method == "clean" else n
            total += max(calls * inference, head.run.min_s if signals.method == "clean" else 0.0)
    return total


def expected_text(head: BundleHead, n: int, counts: Mapping[str, float]) -> str | None:
    """The estimate in a sentence, with what it assumes; None where no counts are."""
    if not counts:
        return None
    minutes = expected_seconds(head, n, counts) / 60
    missing = len(head.artifacts) - len(counts)
    left_out = f"; {missing} artifacts without a count are left out" if missing else ""
    return (
        f"expected on a Raspberry Pi 4: {minutes:.0f} min (estimate: counted instructions at an assumed "
        f"{PI_4_PER_SECOND / 1e9:g} billion a second{left_out})"
    )
