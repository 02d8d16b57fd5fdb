"""Attacks and training on an accelerator: one that is none (:mod:`tests.far`), so that what forgets to move fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.moved import on_device
from pulseproof.attacks.aim.objectives import Bce
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import evaluate
from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.attacks.grid.study import attack_study
from pulseproof.core.compute import placed
from pulseproof.core.compute.device import VARIABLE, asked, resolved
from pulseproof.core.compute.placed import fitting, in_parts
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models import train
from pulseproof.models.nets import Cnn, Lstm
from pulseproof.models.run import Trained, load_model, train_study
from pulseproof.runtime.files import read_json
from tests.attacks.grid.making import study
from tests.far import Far, with_a_card

STEPPING = ["pgd", "pgd-l2", "apgd", "diverse", "smooth", "band", "universal", "random-sign"]


def on(compute: str) -> Study:
    """The small study in one shard, which an accelerator would take as well."""
    made = study(methods=STEPPING, budgets_mv=[0.05], shard=4096, precision="float32")
    return made.model_copy(update={"compute": compute})


def made_on(compute: str, recordings: Recordings, trained: dict[str, Trained], build: Path) -> dict[str, MadeSet]:
    return {each.name: each for each in attack_study(on(compute), recordings, trained, build, workers=0).sets}


def small(count: int = 7) -> Victims:
    generator = torch.Generator().manual_seed(1)
    return Victims(torch.randn(count, 2, 64, generator=generator), torch.ones(count, 3))


def test_every_attack_computes_where_it_is_told_and_makes_the_same_there(
    recordings: Recordings, trained: dict[str, Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = made_on("cpu", recordings, trained, tmp_path)
    stamps = {name: read_json(tmp_path / "s" / "signals" / f"{name}.stamp.json") for name in here}
    assert not any("compute" in stamp["inputs"] for stamp in stamps.values()), (
        "a processor's digests stay what they were"
    )
    with with_a_card(monkeypatch) as far:
        there = made_on("cuda", recordings, trained, tmp_path / "there")
        stayed = made_on("auto", recordings, trained, tmp_path)
    assert {name: each.sha256 for name, each in there.items()} == {name: each.sha256 for name, each in here.items()}
    assert stayed == here, "of auto a set that is there stays"
    assert any(len(shape) == 3 and shape[1:] == recordings.shape for shape in far.went), "recordings were sent"
    for name, each in there.items():
        inputs = read_json(tmp_path / "there" / "s" / "signals" / f"{name}.stamp.json")["inputs"]
        if each.source == "cnn":
            assert inputs["compute"] == "cuda" and "computed on cuda" in each.notes
        elif each.source == "decision-tree":  # soft trees keep numbers that do not travel
            assert any("decision-tree on the processor: of the copy on cuda" in note for note in each.notes), each.notes
        else:
            assert "compute" not in inputs


def test_a_net_is_trained_on_a_card_and_loads_without_one(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = {
        "name": "s",
        "title": "s",
        "data": {"source": "synthetic"},
        "models": {"cnn": {"epochs": 1, "batch_size": 64, "options": {"width": 4}}, "decision-tree": {}},
    }
    there = Study.model_validate(asked_for | {"compute": "cuda"})
    # Of a real card safetensors takes home what it writes.
    write = train.save_file
    monkeypatch.setattr(
        train, "save_file", lambda tensors, *more: write({name: each.cpu() for name, each in tensors.items()}, *more)
    )
    with with_a_card(monkeypatch) as far:
        trained = train_study(there, recordings, tmp_path)
    assert any(len(shape) == 3 for shape in far.went)
    folder = tmp_path / "s" / "models" / "cnn"
    assert read_json(folder / "model.json")["compute"] == read_json(folder / "train.stamp.json")["inputs"]["compute"]
    assert "compute" not in read_json(tmp_path / "s" / "models" / "decision-tree" / "train.stamp.json")["inputs"]
    module = load_model(folder, trained["cnn"].digest, None).module
    assert not any(isinstance(each, Far) for each in module.parameters())
    here = Study.model_validate(asked_for | {"compute": "cpu"})
    same = train_study(here, recordings, tmp_path / "here")["cnn"].module
    for ours, theirs in zip(module.parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_recurrent_net_in_evaluation_mode_does_without_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN has no backward of a recurrent layer there; nets without one keep it."""
    seen: list[bool] = []

    class Told(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.enabled)
            scores: Tensor = self.inner(x)
            return scores

    before = torch.backends.cudnn.enabled
    with with_a_card(monkeypatch):
        for net, expected in ((Lstm(2, 64, 3, hidden=4), False), (Cnn(2, 64, 3, width=2), True)):
            seen.clear()
            assert on_device(Told(net).eval(), small(), "cuda:0").reason is None
            assert expected in seen and set(seen) - {before} <= {expected}
    assert torch.backends.cudnn.enabled == before


def test_what_does_not_compute_the_same_there_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(nn.Module):
        """A stranger's own code: a constant that is made while it runs, on the processor."""

        def forward(self, x: Tensor) -> Tensor:
            return x.mean(dim=2) @ torch.ones(2, 3)

    net = Forgetful()
    with with_a_card(monkeypatch):
        held = on_device(net, small(), "cuda:0")
    assert held.module is net and held.reason is not None and "same device" in held.reason


def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    sizes: list[int] = []

    def do(part: slice) -> list[int]:
        rows = list(range(part.start, part.stop))
        sizes.append(len(rows))
        if len(rows) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows

    assert [row for rows in in_parts(10, 8, do) for row in rows] == list(range(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    with pytest.raises(torch.OutOfMemoryError):
        in_parts(2, 2, lambda part: do(slice(0, 9)))


def test_gradients_are_the_same_after_running_out_of_memory() -> None:
    class Small(nn.Module):
        def __init__(self, most: int) -> None:
            super().__init__()
            self.net, self.most = Cnn(2, 64, 3, width=2).eval(), most

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            scores: Tensor = self.net(x)
            return scores

    torch.manual_seed(1)
    whole, victims = Small(99), small()
    tight = Small(2)
    tight.load_state_dict(whole.state_dict())
    for ours, theirs in zip(
        vars(evaluate(tight, victims, None, Bce(), 0.0)).values(),
        vars(evaluate(whole, victims, None, Bce(), 0.0)).values(),
        strict=True,
    ):
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("free", "expected"), [(1 << 40, 7), (0, 1), (3 * 256 * 2 * 64 * 4, 3)])
def test_a_batch_is_sized_by_free_memory(monkeypatch: pytest.MonkeyPatch, free: int, expected: int) -> None:
    with with_a_card(monkeypatch):
        monkeypatch.setattr(placed, "_free_bytes", lambda device: free)
        there = small().signals.to("cuda:0")
        assert fitting(there, 64) == expected
        assert fitting(small().signals, 64) == 64, "a processor's batch is what it always was"


@pytest.mark.parametrize(
    ("word", "cards", "mps", "found"),
    [
        ("cpu", 1, True, "cpu"),
        ("auto", 0, False, "cpu"),
        ("auto", 2, True, "cuda:0"),
        ("auto", 0, True, "mps"),
        ("cuda", 1, False, "cuda:0"),
        ("cuda:1", 2, False, "cuda:1"),
        ("mps", 0, True, "mps"),
        ("cuda:2", 2, False, None),
        ("cuda", 0, False, None),
        ("mps", 1, False, None),
    ],
)
def test_a_word_becomes_a_device_or_a_sentence(
    monkeypatch: pytest.MonkeyPatch, word: str, cards: int, mps: bool, found: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    if found is None:
        with pytest.raises(InputError, match=f'compute = "{word}": torch sees no such device here'):
            resolved(word)
    else:
        assert resolved(word) == found


def test_the_option_comes_before_the_environment_and_that_before_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert asked(None, "auto") == "auto"
    monkeypatch.setenv(VARIABLE, "cuda:1")
    assert (asked(None, "auto"), asked("cpu", "auto")) == ("cuda:1", "cpu")
    monkeypatch.setenv(VARIABLE, "gpu")
    with pytest.raises(InputError, match="PULSEPROOF_COMPUTE gpu: no such device"):
        asked(None, "auto")
