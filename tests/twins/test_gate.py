"""Both gates: each passes what holds, and catches what it is there for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pulseproof.attacks.aim.objectives import Bce
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.audit.flags import Flag, find_flags
from pulseproof.attacks.audit.measured import FlagSubject, measure
from pulseproof.attacks.gradient import Pgd
from pulseproof.core import engines
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import draw_resamples
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.quiet import quiet
from pulseproof.models.fold import folded
from pulseproof.models.nets import Cnn
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins import open_twin
from pulseproof.twins.gate import check
from tests.export.making import job_for

SHAPE = (2, 160)
EPSILON_MV = 0.08


@dataclass(frozen=True)
class Deployed:
    """A trained net, its int8 file, and recordings it was not trained on."""

    parent: nn.Module
    path: Path
    signals: NDArray[np.float32]
    labels: NDArray[np.float32]


def task(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two labels: a wave on the first lead, a pulse on the second; both in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (n, 2)).astype(np.float32)
    time, phase = np.arange(SHAPE[1]), rng.uniform(0, 6.28, (n, 1))
    signals = rng.normal(0, 0.3, (n, *SHAPE))
    signals[:, 0] += labels[:, :1] * 0.25 * np.sin(time * 0.25 + phase)
    signals[:, 1] += labels[:, 1:] * 0.6 * np.exp(-(((time - 80 - 10 * phase) / 4) ** 2))
    return signals.round(3).astype(np.float32), labels


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = Cnn(*SHAPE, 2, width=8, dropout=0.0)
    signals, labels = task(800, 1)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(150):
        rows = torch.arange(step * 32, step * 32 + 32) % len(signals)
        loss = nn.functional.binary_cross_entropy_with_logits(
            net(torch.from_numpy(signals)[rows]), torch.from_numpy(labels)[rows]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    folder = tmp_path_factory.mktemp("deployed")
    job = job_for(net, SHAPE, folder / "float.onnx")
    with quiet():
        onnx_files.write_float(job)
        onnx_int8.write_static(replace(job, out=folder / "int8.onnx", calibration=signals[:60]))
    return Deployed(folded(net), folder / "int8.onnx", *task(200, 2))


def attacked(deployed: Deployed, module: nn.Module) -> NDArray[np.float32]:
    """The file's scores on recordings that were disturbed through a module, rounded to 1 uV."""
    victims = Victims(torch.from_numpy(deployed.signals), torch.from_numpy(deployed.labels))
    (delta,) = Pgd(steps=15)(module, victims, [Bce()], [EPSILON_MV], torch.Generator().manual_seed(1))
    return engines.score(deployed.path, (deployed.signals + delta.numpy().round(3)).astype(np.float32), "onnxruntime")


def masked(
    through_twin: NDArray[np.float32], transferred: NDArray[np.float32], labels: NDArray[Any], patients: NDArray[Any]
) -> list[Flag]:
    """The second gate: what the flags of a run say of a file's scores under both attacks."""
    over = draw_resamples(patients, 1000, 1)
    made = (("cnn/onnx-int8-static", "twin", through_twin), ("cnn", "pgd", transferred))
    rows = [
        measure(FlagSubject("cnn/onnx-int8-static", source, method, EPSILON_MV), "gradient", scores, labels, over)
        for source, method, scores in made
    ]
    return [flag for flag in find_flags(rows) if flag.name == "twin-weaker-than-transfer"]


@pytest.fixture(scope="module")
def transferred(deployed: Deployed) -> NDArray[np.float32]:
    return attacked(deployed, deployed.parent)


def test_a_twin_passes_both_gates(deployed: Deployed, transferred: NDArray[np.float32]) -> None:
    twin = open_twin(deployed.path)
    found = check(twin, deployed.path, deployed.signals, deployed.labels)
    assert found.reason is None and found.largest <= 1.01 and found.file_auc > 0.85 and found.records == 200
    assert (found.engine, found.version) == ("onnxruntime", engines.here()["onnxruntime"])
    through_twin = attacked(deployed, twin)
    assert masked(through_twin, transferred, deployed.labels, np.arange(200)) == []
    assert macro_auc(through_twin, deployed.labels) < found.file_auc - 0.1


def test_an_unmasked_twin_passes_the_gate_of_scores_and_is_caught_by_that_of_attacks(
    deployed: Deployed, transferred: NDArray[np.float32]
) -> None:
    twin, right = open_twin(deployed.path, masked=False), open_twin(deployed.path)
    signals = torch.from_numpy(deployed.signals)
    assert torch.equal(twin(signals), right(signals))
    assert check(twin, deployed.path, deployed.signals, deployed.labels).reason is None
    assert masked(attacked(deployed, twin), transferred, deployed.labels, np.arange(200)) != []


@pytest.mark.parametrize("by", [0.4, 1.0, np.nan])
def test_scores_apart(deployed: Deployed, by: float) -> None:
    twin = open_twin(deployed.path)
    signals, labels = deployed.signals[:40], deployed.labels[:40]
    scores = twin(torch.from_numpy(signals)).numpy()
    scores += np.float32(by * (twin.output_step or 0))  # all alike: no rank changes
    found = check(twin, deployed.path, signals, labels, scores=scores)
    assert (found.reason is None) == (by <= 1) and ("steps of its output" in str(found.reason)) == (not by <= 1)
    assert found.mark is None and found.engine_largest is None
    assert found.equal == float(by < 0.5) and found.largest == pytest.approx(by, abs=0.01, nan_ok=True)


def test_an_engine_that_is_off_is_marked_and_the_twin_holds(deployed: Deployed) -> None:
    """Scores two steps from the file's exact arithmetic are the engine's doing: the twin that equals that holds."""
    twin = open_twin(deployed.path)
    signals, labels = deployed.signals[:40], deployed.labels[:40]
    off = twin(torch.from_numpy(signals)).numpy() + np.float32(2 * (twin.output_step or 0))
    found = check(twin, deployed.path, signals, labels, scores=off)
    assert found.reason is None and found.largest <= 1.01 and found.mark in ("engine-saturates", "engine-differs")
    assert 1 <= (found.engine_largest or 0) <= 3


def test_a_twin_that_is_off_is_refused(deployed: Deployed) -> None:
    """A twin of other weights equals neither the engine nor the file's exact arithmetic."""
    twin = open_twin(deployed.path)
    with torch.no_grad():
        for name, buffer in twin.named_buffers():
            if buffer.is_floating_point() and buffer.numel() > 1:
                twin.get_buffer(name).mul_(1.2)
    found = check(twin, deployed.path, deployed.signals[:40], deployed.labels[:40])
    assert found.reason is not None and "steps of its output" in found.reason and found.mark is None


def test_an_auc_apart(deployed: Deployed) -> None:
    twin = open_twin(deployed.path)
    scores = twin(torch.from_numpy(deployed.signals)).numpy()
    # Each positive recording one step up, each negative one down: within the step, but ranks change.
    moved = scores + np.float32(twin.output_step or 0) * (2 * deployed.labels - 1)
    found = check(twin, deployed.path, deployed.signals, deployed.labels, scores=moved)
    assert found.auc_difference < -0.001 and found.reason is not None and "AUC differs" in found.reason


def test_an_accident_is_no_masking() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (40, 2))
    transferred = (labels + rng.normal(0, 2, labels.shape)).astype(np.float32)
    by_chance = transferred + rng.normal(0, 0.5, labels.shape).astype(np.float32)
    clearly = (labels * 3 + rng.normal(0, 0.1, labels.shape)).astype(np.float32)
    patients = np.arange(40)
    assert masked(by_chance, transferred, labels, patients) == []
    assert masked(clearly, transferred, labels, patients) != []
    assert masked(transferred, clearly, labels, patients) == []


def test_what_cannot_be_checked(deployed: Deployed, tmp_path: Path) -> None:
    twin = open_twin(deployed.path)
    with pytest.raises(ValueError, match="without recordings"):
        check(twin, deployed.path, deployed.signals[:0], deployed.labels[:0])
    with pytest.raises(InputError, match="no engine"):
        check(twin, deployed.path, deployed.signals[:2], deployed.labels[:2], engine="another")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"broken\.onnx"):
        check(twin, broken, deployed.signals[:2], deployed.labels[:2])
