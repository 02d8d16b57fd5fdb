"""A copy of a net computes what the net computes, or the net itself takes its place: public cases of folding.

torch.fx's own folding multiplies a batch norm in once for each *call* of its layer, in silence. Each case here is a net
as people write them, made by code; the right value is the net's own.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import model_source, open_source, parent_module
from pulseproof.attacks.audit.scores import model_target
from pulseproof.attacks.gradient import Pgd
from pulseproof.attacks.grid.context import make_scene, victims_of
from pulseproof.attacks.grid.study import attack_study
from pulseproof.core.study import STANDARD, Study
from pulseproof.ecg.recordings import Recordings, to_millivolts
from pulseproof.export.fold import held_for_export
from pulseproof.export.model_files import ModelFiles
from pulseproof.models.fold import BATCH_NORMS, folded, held_fold
from pulseproof.models.held import scores_of
from pulseproof.models.run import train_study
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins import NotCoveredError, open_twin
from tests.export.making import as_trained, small_study
from tests.export.test_fold import lived_in
from tests.models.making import small_recordings

LEADS, SAMPLES, CLASSES = 2, 160, 3


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(inputs, outputs, 5, stride, 2), nn.BatchNorm1d(outputs), nn.ReLU())


class PerLead(nn.Module):
    """One encoder, called for each lead (pytorch #104593)."""

    def __init__(self, leads: int = LEADS, samples: int = SAMPLES, classes: int = CLASSES, width: int = 6) -> None:
        super().__init__()
        del samples
        self.encoder = nn.Sequential(block(1, width, 2), block(width, width, 2))
        self.head = nn.Linear(leads * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        leads = [self.encoder(x[:, lead : lead + 1]).mean(dim=2) for lead in range(x.shape[1])]
        return self.head(torch.cat(leads, dim=1))


class EachLead(PerLead):
    """The number of leads written down, which tracing can follow."""

    def forward(self, x: Tensor) -> Tensor:
        leads = [self.encoder(x[:, lead : lead + 1]).mean(dim=2) for lead in range(LEADS)]
        return self.head(torch.cat(leads, dim=1))


class CalledTwice(nn.Module):
    """A block that a net goes through twice (pytorch #197539)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = block(LEADS, 6, 2), block(6, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.again(self.first(x))).mean(dim=2))


class SharedNorm(nn.Module):
    """Two convolutions before one batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv1d(LEADS, 6, 5), nn.Conv1d(6, 6, 5), nn.BatchNorm1d(6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.two(self.norm(self.one(x)).relu())).relu().mean(dim=2))


class TwoNorms(nn.Module):
    """One convolution before two batch norms, as where each site or domain has its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(1, 6, 5), nn.Linear(12, CLASSES)
        self.norms = nn.ModuleList([nn.BatchNorm1d(6), nn.BatchNorm1d(6)])

    def forward(self, x: Tensor) -> Tensor:
        parts = [norm(self.conv(x[:, at : at + 1])).relu().mean(dim=2) for at, norm in enumerate(self.norms)]
        return self.head(torch.cat(parts, dim=1))


class AlsoElsewhere(nn.Module):
    """What the convolution gives goes past the batch norm as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(LEADS, 6, 5), nn.BatchNorm1d(6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.head((self.norm(y).relu() + y).mean(dim=2))


class WeightRead(AlsoElsewhere):
    """The convolution's weight is used by name, too."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean(dim=2) + self.conv.weight.mean())


class OldWeightNorm(AlsoElsewhere):
    """A hook writes the convolution's weight anew before each call."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.utils.weight_norm(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).relu().mean(dim=2))


class NewWeightNorm(OldWeightNorm):
    def __init__(self) -> None:
        AlsoElsewhere.__init__(self)
        self.conv = weight_norm(self.conv)


class OverSteps(nn.Module):
    """A batch norm over the steps behind a dense layer over features: as many of one as of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.dense = block(LEADS, 8, 20), nn.Linear(8, 8)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.dense(self.body(x).transpose(1, 2))).flatten(1))


class LosesItself(AlsoElsewhere):
    """Another way when traced, without a word: a proxy is no Tensor."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return self.head((y.relu() if isinstance(x, Tensor) else y).mean(dim=2))


# name: the net, and how many batch norms are left
NETS = {
    "per lead": (EachLead, 0),
    "per lead, as many as come": (PerLead, 2),  # len() of what is traced: it cannot be
    "called twice": (CalledTwice, 0),
    "shared norm": (SharedNorm, 0),
    "two norms": (TwoNorms, 2),
    "also elsewhere": (AlsoElsewhere, 1),
    "weight read": (WeightRead, 1),
    "old weight norm": (OldWeightNorm, 1),
    "new weight norm": (NewWeightNorm, 1),
    "over steps": (OverSteps, 1),
    "loses itself": (LosesItself, 1),
}


def norms_of(net: nn.Module) -> int:
    return sum(isinstance(part, BATCH_NORMS) for part in net.modules())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", NETS)
def test_every_net_keeps_its_scores(name: str) -> None:
    """pytorch #104593, #197539: folded where it can be, and never another net."""
    make, left = NETS[name]
    net = lived_in(make())
    signals = 0.3 * torch.randn(32, LEADS, SAMPLES)
    expected = scores_of(net, signals)
    held = held_fold(net, signals)
    assert (scores_of(held.module, signals) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert norms_of(held.module) == left
    assert (held.module is net) == (left == norms_of(net))
    written = held_for_export(net, signals.numpy()).module
    assert (scores_of(written, signals) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_copy_that_computes_something_else_is_refused_and_said() -> None:
    """The gate itself: what tracing lost is seen on recordings, whatever it was."""
    net = lived_in(LosesItself())
    signals = 0.3 * torch.randn(32, LEADS, SAMPLES)
    assert float((scores_of(folded(net), signals) - scores_of(net, signals)).abs().max()) > 0.01
    held = held_fold(net, signals)
    assert held.module is net
    assert held.reason is not None and "its scores differ by up to" in held.reason


def study(factory: str, **attacks: object) -> Study:
    models = {"own": {"factory": f"{__name__}:{factory}", "epochs": 6, "batch_size": 16}}
    asked = {"methods": ["pgd"], "budgets_mv": [0.05], "steps": 6, "references": 32} | attacks
    head = {"name": "s", "title": "s", "data": {"source": "synthetic"}}
    return Study.model_validate({**head, "models": models, "attacks": asked})


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return small_recordings(tmp_path / "recordings", 600)


class Losing(LosesItself):
    def __init__(self, leads: int, samples: int, classes: int) -> None:
        del leads, samples, classes
        super().__init__()


def test_the_net_itself_is_attacked_where_its_copy_differs(recordings: Recordings, tmp_path: Path, capsys) -> None:
    """And the set says so, and the terminal."""
    asked = study("Losing")
    trained = train_study(asked, recordings, tmp_path)
    made = attack_study(asked, recordings, trained, tmp_path, workers=0)
    (one,) = [each for each in made.sets if each.method == "pgd"]
    (note,) = one.notes
    assert note.startswith("own itself, its batch norms not folded: of the copy, its scores differ by")
    assert note in " ".join(capsys.readouterr().err.split())
    references = victims_of(recordings, recordings.indices("validation"))
    opened = open_source(model_source(trained["own"]), "gradient", references)
    assert isinstance(opened.model, Losing)
    assert isinstance(parent_module(model_source(trained["own"]), references), Losing)
    scores = model_target(trained["own"], 0.001).score(recordings.adc(recordings.indices("test")))
    np.testing.assert_array_equal(
        scores, scores_of(trained["own"].module, torch.from_numpy(recordings.signals(recordings.indices("test"))))
    )


def test_export_says_where_it_could_not_fold(recordings: Recordings, tmp_path: Path) -> None:
    made = ModelFiles(small_study(), recordings, as_trained(lived_in(LosesItself()), recordings), tmp_path)
    entry = made.export("onnx-fp32")
    assert entry.status == "ok" and entry.note is not None
    assert entry.note.startswith("batch norms not folded: of such a copy, its scores differ")
    assert "BatchNormalization" not in entry.operators or entry.parity[0].max_difference < 1e-4


@pytest.mark.slow
def test_an_encoder_for_each_lead_through_every_path(recordings: Recordings, tmp_path: Path) -> None:
    """pytorch #104593: every recipe is exported, and an attack through every path reaches what it reaches on the module
    itself, to .01."""
    asked = study("EachLead")
    own = train_study(asked, recordings, tmp_path)["own"]
    files = ModelFiles(asked, recordings, own, tmp_path)
    entries = {recipe: files.export(recipe) for recipe in STANDARD}
    assert {name: entry.reason for name, entry in entries.items() if entry.status == "refused"} == {}

    references = victims_of(recordings, recordings.indices("validation"))
    test = recordings.indices("test")
    clean, victims = recordings.adc(test), victims_of(recordings, test)
    scene = make_scene(recordings, asked.attacks, 1, 0.05, references)
    recorder = Recorder(recordings.about.adc_step_mv, *recordings.about.adc_range)

    def reached(model: nn.Module) -> float:
        """What is left on the module itself of an attack made through ``model``."""
        method, generator = Aimed(Pgd(20)), torch.Generator().manual_seed(1)
        delta = method.perturb(model, scene, method.prepare(model, scene, generator), victims, generator).delta
        signals = to_millivolts(recorder.record(clean, delta.numpy(), 0.05), recorder.step_mv)
        return macro_auc(scores_of(own.module, torch.from_numpy(signals)).numpy(), recordings.labels[test])

    expected = reached(own.module)
    assert expected < macro_auc(scores_of(own.module, victims.signals).numpy(), recordings.labels[test]) - 0.1
    source = model_source(own)
    paths = {"folded": open_source(source, "gradient", references).model, "parent": parent_module(source, references)}
    assert norms_of(paths["folded"]) == 0
    for recipe, entry in entries.items():
        if entry.file is not None:
            try:
                paths[recipe] = open_twin(files.root / entry.file)
            except NotCoveredError:  # dynamic and half files have no twin
                continue
    assert {"onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static"} <= set(paths)
    assert {name: reached(path) for name, path in paths.items()} == pytest.approx(
        dict.fromkeys(paths, expected), abs=0.01
    )
