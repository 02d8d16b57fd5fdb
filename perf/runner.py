"""``make perf``, the runner: its latencies beside those of the field's own load generators, on the same files.

In: a study's bundle. Out: a line for each file and percentile: ours, the referee's, the median ratio. Each round runs
the packed runner and the referee, one after the other in processes of their own: ``litert-benchmark`` of the LiteRT
wheel for a ``.tflite`` file, MLPerf's load generator (:mod:`perf.loadgen`) for an ``.onnx`` file. The ratio is taken
within a round, and the median over the rounds counts. ``litert-benchmark`` rounds to .01 ms and tells p95, not p99.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.local import run_here
from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import ArtifactEntry, BundleHead
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import follow
from pulseproof.runtime.files import read_json

ROUNDS = 5
RELATIVE = 0.03  # of the referee's p50
ABSOLUTE_MS = 0.02  # for files under SHORT_MS: what a referee's own clock and calls cost
SHORT_MS = 1.0
LITERT_RUNS = {"--num_runs": 500, "--warmup_runs": 100, "--num_threads": 1}
FILES = (
    "cnn/onnx-fp32",
    "cnn/onnx-int8-static",
    "cnn/tflite-fp32",
    "cnn/tflite-int8-static",
    "ecg-lens/onnx-fp32",
    "ecg-lens/onnx-int8-static",
    "ecg-lens/tflite-fp32",
    "ecg-lens/tflite-int8-static",
    "random-forest/onnx-fp32",
)


@dataclass(frozen=True)
class Beside:
    """One percentile of one file: medians over the rounds, in ms, and the median, lowest and highest ratio. Only the
    p50 is claimed: a p99 of two runs differs by whatever else the machine did."""

    artifact: str
    referee: str
    percentile: str
    ours_ms: float
    theirs_ms: float
    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def claimed(self) -> bool:
        return self.percentile == "p50"

    @property
    def held(self) -> bool:
        near = self.theirs_ms < SHORT_MS and abs(self.ours_ms - self.theirs_ms) <= ABSOLUTE_MS
        return not self.claimed or near or abs(self.ratio - 1) <= RELATIVE


def measure_runner(bundle: Path, names: Sequence[str] = FILES, rounds: int = ROUNDS) -> list[Beside]:
    """Run the files ``names`` of a bundle beside their referees. Raises InputError when the bundle lacks one."""
    head = read_bundle(bundle).head
    artifacts = {each.name: each for each in head.artifacts}
    missing = [name for name in names if name not in artifacts]
    if missing:
        raise InputError(
            f"{bundle}: holds no {', '.join(missing)}", "make bundle makes it again; or see why it was refused"
        )
    found: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        tasks = [(each, name) for each in range(rounds) for name in names]
        for at, (_, name) in enumerate(follow(tasks, "measuring")):
            scratch = Path(folder) / str(at)
            pair = _ours(bundle, artifacts[name], scratch), _theirs(bundle, head, artifacts[name], scratch)
            found[name].append(pair)
    return [one for name in names for one in _beside(artifacts[name], found[name])]


def _ours(bundle: Path, artifact: ArtifactEntry, scratch: Path) -> dict[str, float]:
    """Percentiles of the packed runner on the clean recordings."""
    run_here(bundle, scratch, Asked(only=(artifact.name,), sets=("clean",)))
    (result,) = scratch.rglob("clean.json")
    latency: dict[str, float] = read_json(result)["latency_ms"]
    return latency


def _theirs(bundle: Path, head: BundleHead, artifact: ArtifactEntry, scratch: Path) -> dict[str, float]:
    """Percentiles of the referee."""
    file, out = bundle / artifact.file, scratch / "referee.json"
    if artifact.format == "tflite":
        options = [text for name, value in LITERT_RUNS.items() for text in (name, str(value))]
        command = [
            str(Path(sys.executable).parent / "litert-benchmark"),
            "--model",
            str(file),
            "--result_json",
            str(out),
        ]
        _run([*command, *options])
        said = read_json(out)["latency"]
        return {"p50": said["median_ms"], "p95": said["p95_ms"]}
    clean = next(each for each in head.signals if each.method == "clean")
    command = [sys.executable, "-m", "perf.loadgen", str(file), str(bundle / clean.file), str(out)]
    _run([*command, "--step-mv", repr(head.task.adc_step_mv)])
    found: dict[str, float] = read_json(out)
    return found


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise InputError(
            f"{Path(command[0]).name}: ended with status {done.returncode}: {last}", "make setup installs it"
        )


def _beside(artifact: ArtifactEntry, rounds: Sequence[tuple[dict[str, float], dict[str, float]]]) -> list[Beside]:
    referee = "litert-benchmark" if artifact.format == "tflite" else "mlcommons-loadgen"
    shared = [each for each in ("p50", "p95", "p99") if all(each in ours and each in theirs for ours, theirs in rounds)]
    return [
        Beside(
            artifact=artifact.name,
            referee=referee,
            percentile=each,
            ours_ms=statistics.median(ours[each] for ours, _ in rounds),
            theirs_ms=statistics.median(theirs[each] for _, theirs in rounds),
            ratios=tuple(ours[each] / (theirs[each] or math.inf) for ours, theirs in rounds),  # 0.00: below .005 ms
        )
        for each in shared
    ]


def runner_table(found: Sequence[Beside]) -> Table:
    """What was found, for a terminal: a line a file. Of a p95 or p99 the ratio alone."""
    names = ("file", "ours ms", "theirs", "ratio (range)", "p95, p99", "held")
    drawn = Table(
        *(Column(each, no_wrap=True) for each in names),
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for name in dict.fromkeys(one.artifact for one in found):
        of_file = {one.percentile: one for one in found if one.artifact == name}
        p50 = of_file["p50"]
        drawn.add_row(
            name,
            f"{p50.ours_ms:.3f}",
            f"{p50.theirs_ms:.3f}",
            f"{p50.ratio:.2f} ({min(p50.ratios):.2f}-{max(p50.ratios):.2f})",
            ", ".join(f"{of_file[each].ratio:.2f}" if each in of_file else "-" for each in ("p95", "p99")),
            "yes" if p50.held else "NO",
        )
    drawn.caption = (
        "p50 of alternating rounds, medians; ratios: ours to the referee's. TFLite: litert-benchmark; ONNX: MLPerf's "
        f"load generator. Held: p50 within {RELATIVE:.0%}, or {1000 * ABSOLUTE_MS:.0f} us below {SHORT_MS:g} ms."
    )
    drawn.caption_justify = "left"
    return drawn
