"""The attacks side by side: everybody is judged on the same recordings, and how a claim is held. No test asserts a
time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from perf.attacks import (
    OURS,
    REFEREES,
    SINGLE,
    AttackClaim,
    AttackOutcome,
    Reached,
    Ring,
    _outcome,
    attacks_table,
    claims_table,
    measure_attacks,
)
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import Interval
from pulseproof.core.study import AttackSpec
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.nets import Cnn
from pulseproof.runtime.auc import macro_auc
from tests.export.making import as_trained, small_study
from tests.models.making import small_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small")


def ring(recordings: Recordings) -> Ring:
    return Ring(small_study(), recordings, recordings.indices("test"), recordings.indices("validation"))


def reached(recordings: Recordings, attack: str, wrong: float, seconds: tuple[float, ...]) -> Reached:
    """Scores that are the labels, with so much noise of one seed that some are wrong."""
    labels = recordings.labels[recordings.indices("test")]
    noise = np.random.default_rng(1).normal(size=labels.shape)
    scores = (labels + wrong * noise).astype(np.float32)
    return Reached("own", 0.01, attack, scores, macro_auc(scores, labels), seconds)


@pytest.mark.parametrize(("bound", "held"), [(-0.05, True), (-0.4, False)])
def test_the_auc_is_held_against_the_strongest_referee(recordings: Recordings, bound: float, held: bool) -> None:
    everybody = [
        reached(recordings, "Pulseproof PGD", 2.0, (1.0,)),
        reached(recordings, "Pulseproof APGD", 9.0, (1.0,)),  # not what is claimed
        reached(recordings, "ART PGD", 0.5, (1.0,)),
        reached(recordings, "foolbox PGD", 1.0, (1.0,)),
    ]
    outcome = _outcome(ring(recordings), AttackClaim("auc", bound, 0.01), "own", everybody)
    assert outcome.against == "foolbox PGD"
    assert outcome.found.estimate == pytest.approx(everybody[0].auc - everybody[3].auc)
    assert outcome.found.low < outcome.found.estimate < outcome.found.high
    assert outcome.held == held


@pytest.mark.parametrize(("bound", "held"), [(0.5, True), (0.49, False)])
def test_the_median_ratio_to_art_decides_the_time(recordings: Recordings, bound: float, held: bool) -> None:
    everybody = [
        reached(recordings, "Pulseproof PGD", 1.0, (1.0, 5.0, 3.0)),
        reached(recordings, "ART PGD", 1.0, (2.0, 2.0, 6.0)),
        reached(recordings, "foolbox PGD", 1.0, (0.1, 0.1, 0.1)),
    ]
    outcome = _outcome(ring(recordings), AttackClaim("time", bound), "own", everybody)
    assert (outcome.against, outcome.found, outcome.held) == ("ART PGD", Interval(0.5, 0.5, 2.5), held)


@pytest.mark.slow  # it brings ART
def test_everybody_attacks_the_same_recordings(recordings: Recordings) -> None:
    torch.manual_seed(0)
    trained = as_trained(Cnn(2, 160, 3, width=4, dropout=0.0).eval().requires_grad_(False), recordings)
    study = small_study().model_copy(update={"attacks": AttackSpec(references=16)})
    found, outcomes = measure_attacks(study, recordings, [trained], budgets_mv=(0.01,), records=20, rounds=2)
    assert [one.attack for one in found] == [*OURS, SINGLE, *REFEREES]
    clean = macro_auc(*scores_and_labels(trained.module, recordings, 20, study.seed))
    for one in found:
        assert (one.model, one.budget_mv, one.scores.shape, len(one.seconds)) == ("own", 0.01, (20, 3), 2)
        assert one.auc < clean
    assert [outcome.claim.what for outcome in outcomes] == ["auc", "time", "float32"]
    assert attacks_table(found).row_count == 7 and claims_table(outcomes).row_count == 3


def test_a_model_without_gradient_is_no_net_to_compare_on(recordings: Recordings) -> None:
    trained = replace(as_trained(nn.Flatten(), recordings), differentiable=False)
    with pytest.raises(InputError, match="no gradient"):
        measure_attacks(small_study(), recordings, [trained])


def test_what_is_drawn_says_whether_it_held() -> None:
    outcome = AttackOutcome(AttackClaim("auc", -0.03, 0.01), "own", "ART PGD", Interval(-0.02, -0.03, -0.01))
    (held,) = list(claims_table([outcome]).columns)[-1].cells
    assert held == "NO"


def scores_and_labels(module: nn.Module, recordings: Recordings, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rows = recordings.sample("test", n, seed)
    with torch.no_grad():
        return module(torch.from_numpy(recordings.signals(rows))).numpy(), recordings.labels[rows]
