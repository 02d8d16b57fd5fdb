"""A firmware held against LiteRT's reference kernels, operator by operator, on this machine or on an emulated core.

In: a file and the project that was made of it. Out: a :class:`LayerCheck` an operator: how many of the bytes that it
gives differ, by how much at most, and its instructions. LiteRT runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.export.job import RefusedError
from pulseproof.export.price import child
from pulseproof.firmware.build import build_for, build_here
from pulseproof.firmware.cores import MicroCore
from pulseproof.firmware.emulator import layers_on
from pulseproof.firmware.project import MadeProject
from pulseproof.firmware.reference import LIMIT_S

SPREAD = 50.0  # of the noise that is given, in the input's own steps: it reaches both ends
HERE_LIMIT_S = 300


@dataclass(frozen=True)
class LayerCheck:
    """One operator, over all recordings: ``differ`` of its ``count`` bytes, by ``largest`` steps at most;
    ``instructions``, the median; None on this machine."""

    kind: str
    shape: tuple[int, ...]
    count: int
    differ: int
    largest: int
    instructions: int | None


def noise(made: MadeProject, n: int) -> NDArray[np.int8]:
    """Int8 recordings (n, ...) that reach the whole range of the input."""
    drawn = np.random.default_rng(0).normal(made.entrance.zero, SPREAD, (n, *made.entrance.shape[1:]))
    return np.clip(np.rint(drawn), -128, 127).astype(np.int8)


def check_layers(
    path: Path, made: MadeProject, signals: NDArray[np.int8], core: MicroCore | None, objects: Path
) -> list[LayerCheck]:
    """Run ``signals`` (n, ...) on a core (None: on this machine) and on the reference kernels.

    Raises InputError when the reference does not run the file, GuestError when the firmware does not.
    """
    expected = reference_layers(path, made, signals)
    counts: NDArray[np.int64] | None = None
    with tempfile.TemporaryDirectory(prefix="pulseproof-check-") as name:
        if core is None:
            program = build_here(made, Path(name) / "traced", objects, traced=True)
            done = subprocess.run(
                [program], input=signals.tobytes(), capture_output=True, check=True, timeout=HERE_LIMIT_S
            )
            given = np.frombuffer(done.stdout, np.int8).reshape(len(signals), -1)
        else:
            traced = build_for(core, made, Path(name) / "traced.elf", objects, traced=True)
            counts, given = layers_on(core, traced.elf, signals, [one.size for one in made.outputs])
    found, first = [], 0
    for at, (kind, output) in enumerate(zip(made.kinds, made.outputs, strict=True)):
        part = slice(first, first + output.size)
        apart = np.abs(given[:, part].astype(np.int64) - expected[:, part])
        first += output.size
        taken = None if counts is None else int(np.median(counts[:, at]))
        differ = int(np.count_nonzero(apart))
        found.append(LayerCheck(kind, output.shape, apart.size, differ, int(apart.max(initial=0)), taken))
    return found


def reference_layers(path: Path, made: MadeProject, signals: NDArray[np.int8]) -> NDArray[np.int8]:
    """What every operator gives on the reference kernels, int8 (n, bytes), one behind another. Raises InputError."""
    with tempfile.TemporaryDirectory(prefix="pulseproof-reference-") as name:
        folder = Path(name)
        np.savez(
            folder / "asked.npz",
            signals=signals,
            entrance=made.entrance.at,
            scale=made.entrance.scale,
            zero=np.float32(made.entrance.zero),
            tensors=np.array([one.at for one in made.outputs]),
        )
        script = str(Path(__file__).with_name("reference.py"))
        command = [sys.executable, script, str(path.resolve()), "asked.npz", "given.npy"]
        try:
            done = child.run("LiteRT", command, folder, LIMIT_S)
        except RefusedError as error:
            raise InputError(f"{path}: {error}", "leave --core out: then it is not compared") from None
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise InputError(f"{path}: LiteRT does not run it: {said[:200]}", "export it again")
        given: NDArray[np.int8] = np.load(folder / "given.npy", allow_pickle=False)
        return given


def lines_of(checks: Sequence[LayerCheck]) -> list[list[str]]:
    """Rows of a table: operator, what it gives, bytes that differ, million instructions and their share."""
    total = sum(one.instructions or 0 for one in checks)
    rows = []
    for one in checks:
        apart = f"{one.differ} of {one.count}" + (f", by {one.largest}" if one.differ else "")
        count = "-" if one.instructions is None else f"{one.instructions / 1e6:.3f}"
        share = "-" if not total else f"{(one.instructions or 0) / total:.1%}"
        rows.append([one.kind, " x ".join(map(str, one.shape)), apart, count, share])
    return rows
