"""Whether an emulated system can be believed: three checks at preparation, none of which can be left out.

In comes a :class:`~bench.devices.emulated.system.PreparedSystem`; it goes out again when all hold, else an InputError
says which not: 1. What its ``/proc/cpuinfo`` claims is what the emulated core has, and every library is its own. 2. Its
engines give small float and int8 models the scores that arithmetic gives (:mod:`bench.devices.emulated.probes`); where
   the core is one whose 16-bit sums saturate, the saturated ones, so that a process that ran on this machine's own
   processor instead is found out.
3. The counts of instructions repeat: exactly with LiteRT, within 1 % with ONNX Runtime and tflite-runtime.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pulseproof.bench.devices.emulated.cores import Architecture
from pulseproof.bench.devices.emulated.features import wrong_features
from pulseproof.bench.devices.emulated.guest import ROUNDS
from pulseproof.bench.devices.emulated.probes import Probe, signals, write_probes
from pulseproof.bench.devices.emulated.system import PreparedSystem
from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.runtime.files import read_json, write_array, write_json
from pulseproof.runtime.version import sources

CHECKS = 2  # raise it when a check changes, so that systems that are there are checked again
GUEST = Path(__file__).with_name("guest.py")
REPEATS = {"ai_edge_litert": 0.0, "tflite_runtime": 0.01, "onnxruntime": 0.01}
ENGINES: dict[Architecture, dict[str, str]] = {
    "arm64": {"onnx": "onnxruntime", "tflite": "ai_edge_litert"},
    "armhf": {"tflite": "tflite_runtime"},
    "amd64": {"onnx": "onnxruntime", "tflite": "ai_edge_litert"},
}
WARM = 4  # counts that are left out: the first inferences allocate


def checked(system: PreparedSystem, say: Callable[[str], None]) -> PreparedSystem:
    """Check a system unless it was checked before. Raises InputError."""
    version = system.version()
    stamp, wanted = (
        system.home / "checked.json",
        {"checks": digest([CHECKS, version, system.core.cpu, system.core.cpuinfo()])},
    )
    try:
        if read_json(stamp) == wanted:
            return system
    except (OSError, ValueError):
        pass
    say(f"checking {system.core.name}: features, scores of known models, counts of instructions ({version})")
    with tempfile.TemporaryDirectory() as folder:
        _check(system, Path(folder))
    write_json(stamp, wanted)
    return system


def _check(system: PreparedSystem, folder: Path) -> None:
    engines = ENGINES[system.core.architecture]
    for name, content in sources().items():
        (folder / "path" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "path" / name).write_bytes(content)
    write_array(folder / "signals.npy", signals())
    probes = write_probes(folder, tuple(engines), system.core.saturates)
    named = [f"{engines[probe.file.suffix[1:]]}={probe.file.name}" for probe in probes]
    done = system.run([str(GUEST), str(folder), *named], folder / "counts", folder / "path")
    if done.returncode != 0:
        words = " ".join(done.stderr.split())[-300:] or f"status {done.returncode}"
        raise _not_held(system, f"its engines do not run ({words})")
    said = json.loads(done.stdout)
    for probe in probes:
        _check_scores(system, probe)
    _check_libraries(system, said["libraries"])
    _check_features(system, said["words"])
    pairs = _counts(system, folder / f"counts.{said['pid']}").reshape(len(probes), ROUNDS, 2)
    for probe, counts in zip(probes, pairs[:, :, 1] - pairs[:, :, 0], strict=True):
        _check_counts(system, engines[probe.file.suffix[1:]], probe.file.name, counts[WARM:])


def _check_features(system: PreparedSystem, words: dict[str, int]) -> None:
    wrong = wrong_features(system.core, words)
    if wrong:
        raise _not_held(system, f"its cpuinfo and the emulated core differ in {', '.join(wrong)}")


def _check_libraries(system: PreparedSystem, libraries: list[str]) -> None:
    """An x86 system on an x86 machine could load the machine's own."""
    base = Path(system.start[-1]).resolve().parents[3]  # four up from the interpreter of the fetched system
    foreign = [each for each in libraries if base not in Path(each).resolve().parents]
    if foreign:
        raise _not_held(system, f"it uses this machine's own {', '.join(foreign[:3])}")


def _check_scores(system: PreparedSystem, probe: Probe) -> None:
    given = np.load(probe.file.with_name(f"{probe.file.name}.npy"), allow_pickle=False)
    largest = float(np.abs(given - probe.scores).max()) if given.shape == probe.scores.shape else np.inf
    if not largest <= probe.within:
        raise _not_held(system, f"{probe.file.name} of the known models is off by {largest:g}")


def _counts(system: PreparedSystem, path: Path) -> np.ndarray:
    """The counts that the plugin wrote."""
    try:
        return np.fromfile(path, "<u8").astype(np.int64)
    except OSError:
        raise _not_held(system, "the plugin wrote no counts of instructions") from None


def _check_counts(system: PreparedSystem, engine: str, name: str, counts: np.ndarray) -> None:
    """Compare the medians of two halves: one count in ten is higher, where Python or the engine tidies its memory."""
    first, second = (float(np.median(half)) for half in np.array_split(counts, 2))
    if counts.min() <= 0 or abs(first - second) > REPEATS[engine] * first:
        raise _not_held(system, f"the counts of {name} do not repeat ({first:,.0f}, then {second:,.0f})")


def _not_held(system: PreparedSystem, what: str) -> InputError:
    return InputError(
        f"{system.core.name} under {system.version()}: {what}",
        f"nothing from it can be believed; delete {system.home.parents[1]} and try again with Debian's qemu-user 7.2",
    )
