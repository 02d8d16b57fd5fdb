"""A short run on a device beside a fuller one: whose AUCs count.

In come the results of all devices; out comes for each device the run of another that has all its signal sets and
recordings and more, and of which files the scores agree on what both ran. A device is asked for latency, and often of a
part of the recordings: where the scores agree, it is the same model there, and the fuller run knows its AUC better.
Where they differ by more than rounding (:mod:`report.numbers.score_difference`) it is another model, and its own AUC
counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.report.numbers.score_difference import ScoreDifference, host_of, score_differences


@dataclass(frozen=True)
class Fuller:
    """The fuller run is that of ``device``. ``agreed``: the files whose scores are the same on both; ``apart``: those
    that are fuller there, but whose scores differ, with the largest difference."""

    device: str
    agreed: frozenset[str]
    apart: Mapping[str, float] = field(default_factory=dict)


def fuller_runs(bundle: HostBundle, devices: Sequence[DeviceResults]) -> dict[str, Fuller]:
    """By the name of each device that has one. Of several the one that has more scores of those files, then this
    machine."""
    host = host_of(tuple(devices))
    found = {}
    for device in devices:
        mine = _sizes(device)
        fuller: dict[str, list[str]] = {}
        weights: dict[str, tuple[int, bool]] = {}
        for other in devices:
            theirs = _sizes(other)
            names = [name for name, sizes in mine.items() if _is_fuller(theirs.get(name, {}), sizes)]
            if other.name != device.name and names:
                fuller[other.name] = names
                weights[other.name] = (sum(sum(theirs[name].values()) for name in names), other is host)
        if not fuller:
            continue
        best = max(weights, key=lambda name: weights[name])
        other = next(each for each in devices if each.name == best)
        differences = score_differences(bundle, device, other)
        far = {name: largest for name in fuller[best] if (largest := _largest(differences, name)) is not None}
        found[device.name] = Fuller(best, frozenset(fuller[best]) - far.keys(), far)
    return found


def _sizes(device: DeviceResults) -> dict[str, dict[str, int]]:
    """By artifact and signal set: how many recordings were scored."""
    found: dict[str, dict[str, int]] = {}
    for (artifact, signals), measured in device.results.items():
        if measured.scores is not None:
            found.setdefault(artifact, {})[signals] = len(measured.scores)
    return found


def _is_fuller(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    """True for a run that has all of another and more."""
    return one != other and all(one.get(name, 0) >= count for name, count in other.items())


def _largest(differences: Mapping[tuple[str, str], ScoreDifference], artifact: str) -> float | None:
    """The largest difference of a file that is more than rounding, over its signal sets; None where there is none."""
    far = [each.largest for (name, _), each in differences.items() if name == artifact and each.verdict == "LARGER"]
    return max(far, default=None)
