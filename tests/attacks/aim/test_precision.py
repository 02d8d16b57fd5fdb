"""Steps are taken in bfloat16 only where that is faster and the net bears it; what is there stays."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pulseproof.attacks.aim import precision
from pulseproof.attacks.aim.precision import choose, half_differs, is_faster, may_take_half
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.grid.study import MadeSets, attack_study
from pulseproof.attacks.method import Scene
from pulseproof.attacks.methods import METHODS
from pulseproof.core.study import AttackSpec, Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.nets import Cnn
from pulseproof.models.run import train_study
from pulseproof.runtime.files import read_json
from tests.models.making import small_recordings


class Processor:
    """A processor's clock: ``single`` and ``half`` seconds a recording, ``once`` the first time."""

    def __init__(self, single: float, half: float, once: float = 0.0) -> None:
        self.each, self.once, self.spent = {False: single, True: half}, once, 0.0

    def __call__(self, count: int, half: bool) -> float:
        took = count * self.each[half] + self.once
        self.once = 0.0
        self.spent += took
        return took


@pytest.mark.parametrize(
    ("single", "half", "faster"),
    [
        (0.001, 0.0006, True),
        (0.001, 0.00095, False),  # a twentieth is not worth a rounding
        (0.001, 0.012, False),  # AVX2 without bfloat16 instructions
        (0.1, 1.2, False),  # and on a slow one
        (1e-7, 5e-8, True),
    ],
)
def test_what_the_probe_says(single: float, half: float, faster: bool) -> None:
    assert is_faster(Processor(single, half, 0.2), 64) is faster


def test_the_probe_takes_a_second() -> None:
    for single, half in ((0.001, 0.0006), (0.001, 0.012), (0.004, 0.05)):
        processor = Processor(single, half)
        is_faster(processor, 64)
        assert processor.spent < 1.3


def references(count: int = 32) -> Victims:
    generator = torch.Generator().manual_seed(1)
    labels = (torch.rand(count, 3, generator=generator) < 0.4).float()
    height = torch.rand(count, 1, 1, generator=generator)  # so that their scores differ
    return Victims(height * torch.randn(count, 2, 160, generator=generator), labels)


def learned() -> nn.Module:
    """A net whose scores spread, as those of any trained one do."""
    net, seen = Cnn(2, 160, 3, width=8), references(200)
    torch.manual_seed(0)
    targets = (seen.signals.std(dim=(1, 2), keepdim=True) > torch.tensor([0.2, 0.5, 0.8]))[:, 0].float()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(seen.signals), targets).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def test_a_slow_processor_takes_float32() -> None:
    net = learned()
    slow = choose(net, references(), timed=Processor(0.001, 0.012))
    assert slow.precision == "float32" and slow.reason == "bfloat16 is not faster on this processor"
    assert choose(net, references(), timed=Processor(0.001, 0.0005)).precision == "bfloat16"
    assert choose(net, references(), pinned=True).precision == "bfloat16"
    assert choose(nn.Sequential(nn.Flatten(), nn.Linear(320, 3)), references()).precision == "float32"


class Offset(nn.Module):
    """Small differences of large scores: eight bits do not hold them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv1d(2, 4, 5), nn.Linear(4, 3)
        self.head.bias.data += 300

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean(dim=2))


def test_a_net_that_half_precision_changes_is_attacked_in_float32() -> None:
    torch.manual_seed(0)
    net = Offset().eval()
    chosen = choose(net, references(), timed=Processor(0.001, 0.0005))
    assert chosen.precision == "float32" and "in bfloat16 its scores differ" in str(chosen.reason)
    assert half_differs(learned(), references()) is None


def test_which_methods_take_steps_that_can_be_in_half_precision() -> None:
    able = {name for name, entry in METHODS.items() if may_take_half(entry.make(AttackSpec()))}
    assert {"pgd", "pgd-l2", "pgd-bce", "fgsm", "mi-fgsm", "diverse", "ensemble"} <= able
    assert not able & {"apgd", "smooth", "band", "universal", "square", "disagree", "random-sign"}


def test_a_scene_is_in_float32_unless_told() -> None:
    assert Scene.__dataclass_fields__["precision"].default == "float32"


def study(**attacks: Any) -> Study:
    models = {"cnn": {"epochs": 8, "batch_size": 16, "options": {"width": 8}}}
    settings = {"methods": ["pgd", "apgd", "random-sign"], "budgets_mv": [0.05], "steps": 3, "references": 16} | attacks
    head = {"name": "s", "title": "s", "data": {"source": "synthetic"}}
    return Study.model_validate({**head, "models": models, "attacks": settings})


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return small_recordings(tmp_path / "recordings")


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Go on to a processor on which bfloat16 takes so many times the time of float32."""

    def to(times: float) -> None:
        monkeypatch.setattr(precision, "_timed", lambda module, references: Processor(0.001, 0.001 * times))

    return to


def make(asked: Study, recordings: Recordings, home: Path) -> MadeSets:
    return attack_study(asked, recordings, train_study(asked, recordings, home), home, workers=0)


def told(made: MadeSets) -> dict[str, str | None]:
    return {one.method: one.precision for one in made.sets}


@pytest.mark.parametrize(("times", "taken"), [(12.0, "float32"), (0.5, "bfloat16")])
def test_the_precision_stands_in_the_inputs_and_the_description(
    times: float, taken: str, recordings: Recordings, tmp_path: Path, on: Callable[[float], None], capsys: Any
) -> None:
    """On a processor that is slow in bfloat16 the default attack takes float32, and says so."""
    on(times)
    made = make(study(), recordings, tmp_path)
    assert told(made) == {"clean": None, "pgd": taken, "apgd": "float32", "random-sign": None}
    folder = tmp_path / "s" / "signals"
    assert read_json(folder / "pgd-cnn-0.05mV.stamp.json")["inputs"]["precision"] == taken
    assert read_json(folder / "pgd-cnn-0.05mV.json")["precision"] == taken
    said = "cnn: its steps are taken in float32: bfloat16 is not faster on this processor"
    assert (said in " ".join(capsys.readouterr().err.split())) == (taken == "float32")


def test_another_machine_makes_nothing_again(
    recordings: Recordings, tmp_path: Path, on: Callable[[float], None]
) -> None:
    """A build folder moves to a processor that would choose otherwise; pinning it makes the set again."""
    on(0.5)
    first = make(study(), recordings, tmp_path)
    on(12.0)
    assert make(study(), recordings, tmp_path) == first
    pinned = make(study(precision="float32"), recordings, tmp_path)
    assert told(pinned)["pgd"] == "float32"
    changed = {one.name for one, other in zip(first.sets, pinned.sets, strict=True) if one.sha256 != other.sha256}
    assert changed <= {"pgd-cnn-0.05mV"}
    assert make(study(), recordings, tmp_path) == pinned
    assert told(make(study(precision="bfloat16"), recordings, tmp_path))["pgd"] == "bfloat16"  # slow, but asked for


CHILD = """
import torch
from pulseproof.attacks.aim.precision import choose
from tests.attacks.aim.test_precision import references
from tests.export.test_fold import lived_in
from pulseproof.models.nets import Cnn
torch.set_num_threads(1)
print(choose(lived_in(Cnn(2, 160, 3, width=32)), references(64)).precision)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="oneDNN's limit names x86 instructions")
def test_a_processor_held_to_avx2_takes_float32() -> None:
    """The kernels that such a processor has, on this one: bfloat16 took twelve times as long, and now is not taken."""
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.split()[-1] == "float32"


def test_where_torch_has_no_bfloat16_it_takes_float32() -> None:
    def timed(count: int, half: bool) -> float:
        if half:
            raise RuntimeError('"conv" not implemented for BFloat16')
        return 0.001 * count

    chosen = choose(learned(), references(), timed=timed)
    assert chosen.precision == "float32" and "not implemented" in str(chosen.reason)
