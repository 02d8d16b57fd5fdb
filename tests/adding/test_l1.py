"""A method declares its norm and its bound: steps in L1, added as docs/adding/attack.md says, reach what they reach
unclipped; what declares nothing, or something that is not so, is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.adding.following import add, copied, run

# Trains a small net, makes the sets of the methods named, and gives for each budget the AUC on the recordings as they
# were recorded, and on the perturbations as the method made them.
ATTACK = """
import json, sys
import numpy as np, torch
from pathlib import Path
import pulseproof.attacks.grid.tasks
from pulseproof.attacks.grid.study import attack_study
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.models.run import train_study
from pulseproof.runtime.auc import macro_auc
from tests.models.making import small_recordings

home, method = Path(sys.argv[1]), sys.argv[2]
study = Study.model_validate({
    "name": "s", "title": "s", "data": {"source": "synthetic"},
    "models": {"cnn": {"epochs": 6, "batch_size": 16, "options": {"width": 4}}},
    "attacks": {"methods": [method], "budgets_mv": [0.001, 0.002, 0.005], "steps": 10, "references": 16},
})
recordings = small_recordings(home / "recordings")
trained = train_study(study, recordings, home)
made = {}
whole = Recorder.record

def record(self, clean, delta, epsilon, *declared):
    made[f"{epsilon:g}"] = clean, delta, declared[0]
    return whole(self, clean, delta, epsilon, *declared)

pulseproof.attacks.grid.tasks.Recorder.record = record
try:
    attack_study(study, recordings, trained, home, workers=0)
except InputError as error:
    print(json.dumps({"refused": str(error)}))
    raise SystemExit(0)
module, labels = trained["cnn"].module, recordings.labels[recordings.indices("test")]

def auc(millivolts):
    with torch.no_grad():
        return macro_auc(module(torch.from_numpy(millivolts.astype(np.float32))).numpy(), labels)

found = {}
for budget, (clean, delta, norm) in made.items():
    step = recordings.about.adc_step_mv
    recorded = np.load(home / "s" / "signals" / f"{method}-cnn-{budget}mV.npy")
    moved = (recorded.astype(int) - clean) * step
    cut = np.clip(delta, -float(budget), float(budget))
    found[budget] = {
        "norm": norm, "clean": auc(clean * step), "truth": auc(clean * step + delta), "recorded": auc(recorded * step),
        "clipped": auc(clean * step + cut), "size": float(np.abs(moved).mean(axis=(1, 2)).max()),
    }
print(json.dumps(found))
"""


def attacked(home: Path, folder: Path, method: str) -> dict[str, dict[str, float]]:
    answer: dict[str, dict[str, float]] = json.loads(run(home, ATTACK, str(folder), method).splitlines()[-1])
    return answer


@pytest.mark.slow
def test_an_attack_in_l1_as_the_page_says_is_recorded_as_it_was_made(tmp_path: Path) -> None:
    home = copied(tmp_path / "copy")
    add(home, "attack")
    found = attacked(home, tmp_path, "sparse")
    assert set(found) == {"0.001", "0.002", "0.005"}
    for budget, one in found.items():
        assert one["norm"] == "l1"
        assert one["recorded"] == pytest.approx(one["truth"], abs=0.01)
        assert one["size"] <= float(budget) * (1 + 1e-6)
    assert found["0.005"]["recorded"] < found["0.005"]["clean"] - 0.2
    # What was recorded when the norm was guessed: another attack altogether.
    assert found["0.005"]["clipped"] > found["0.005"]["recorded"] + 0.1


OWN = '''
"""Steepest steps in L1, by a stranger."""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.attacks.aim.ball import L1
from pulseproof.attacks.gradient import BudgetByBudget, evaluate


@dataclass(frozen=True)
class Sparse(BudgetByBudget):
    steps: int = 5
{declared}
    def one(self, module, victims, objective, budget_mv, generator, watch):
        delta = L1.random(victims.signals, budget_mv, generator)
        for step in range(self.steps):
            seen = evaluate(module, victims, delta, objective, 0.0)
            if watch is not None:
                watch(step / self.steps, seen.scores)
            delta = L1.project(delta + budget_mv * L1.steepest(seen.gradient), budget_mv)
        return delta
'''


def in_the_table(home: Path, name: str, of: str, made: str) -> None:
    """One line, and where its class comes from: all that is edited."""
    table = home / "attacks" / "methods.py"
    line = f'    "{name}": _model("by a stranger", lambda asked: {made}),\n'
    imported = f"from pulseproof.attacks.{name.replace('-', '_')} import {of}\n"
    begun = "from pulseproof.attacks.aim.aimed"
    edited = table.read_text().replace(begun, imported + begun, 1)
    table.write_text(edited.replace('    "pgd": _model(', line + '    "pgd": _model(', 1))


REGION = '''
"""The first half of a recording alone, by a stranger."""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.attacks.aim.region import InLinf


@dataclass(frozen=True)
class FirstHalf(InLinf):
    def random(self, like, budget_mv, generator):
        return self.project(super().random(like, budget_mv, generator), budget_mv)

    def project(self, delta, budget_mv):
        inside = super().project(delta, budget_mv)
        inside[:, :, inside.shape[2] // 2 :] = 0
        return inside
'''


@pytest.mark.slow
def test_a_method_is_one_file_and_one_line(tmp_path: Path) -> None:
    """A region of one's own, stepped in by what is there; the study knows its name from the table."""
    home = copied(tmp_path / "copy")
    (home / "attacks" / "first_half.py").write_text(REGION, encoding="utf-8")
    in_the_table(home, "first-half", "FirstHalf", "Aimed(Pgd(asked.steps, FirstHalf()))")
    found = attacked(home, tmp_path, "first-half")
    assert found["0.005"]["norm"] == "linf"
    assert found["0.005"]["recorded"] < found["0.005"]["clean"] - 0.02
    recorded = np.load(tmp_path / "s" / "signals" / "first-half-cnn-0.005mV.npy").astype(int)
    moved = recorded - np.load(tmp_path / "s" / "signals" / "clean.npy")
    half = moved.shape[2] // 2
    assert moved[:, :, :half].any() and not moved[:, :, half:].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("", "method sparse: declares no norm"),
        ('    norm = "linf"\n', "method sparse: made a perturbation of"),
        ('    norm = "l7"\n', "method sparse: there is no norm 'l7'"),
        ('    norm = "l1"\n', None),
    ],
    ids=["nothing", "another", "unknown", "right"],
)
def test_what_an_attack_of_ones_own_does_not_declare_is_refused_by_name(
    tmp_path: Path, declared: str, said: str | None
) -> None:
    home = copied(tmp_path / "copy")
    (home / "attacks" / "sparse.py").write_text(OWN.format(declared=declared), encoding="utf-8")
    in_the_table(home, "sparse", "Sparse", "Aimed(Sparse())")
    found = attacked(home, tmp_path, "sparse")
    if said is None:
        assert all(one["recorded"] == pytest.approx(one["truth"], abs=0.01) for one in found.values())
    else:
        assert said in str(found["refused"])
