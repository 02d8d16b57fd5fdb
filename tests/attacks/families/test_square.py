"""Square: inside the ball and on the recorder's steps whatever is asked, honest about queries, better than noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.attacks.aim.objectives import AucObjective, Linear
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Scene
from pulseproof.attacks.noise import random_sign
from pulseproof.attacks.square import Square, SquareMethod, find_beats
from pulseproof.core.study import AttackSpec
from pulseproof.runtime.auc import macro_auc

FS, STEP, LEADS, SAMPLES = 100.0, 0.005, 3, 400


def heart(n: int, seed: int) -> Victims:
    """Recordings with a sharp beat about every 0.8 s; the height of its T wave on lead 0 and 1 makes the two labels."""
    rng = np.random.default_rng(seed)
    signals = 0.01 * rng.standard_normal((n, LEADS, SAMPLES))
    height = rng.normal(0.0, 0.1, (n, 2))
    wave = np.exp(-0.5 * ((np.arange(60) - 30) / 8) ** 2)
    for row in range(n):
        for beat in range(int(rng.integers(20, 60)), SAMPLES - 70, int(rng.integers(72, 88))):
            signals[row, :, beat - 1 : beat + 2] += [0.4, 1.0, 0.4]
            signals[row, :2, beat + 5 : beat + 65] += height[row, :, None] * wave
    recorded = np.rint(signals / STEP).astype(np.float32) * np.float32(STEP)
    labels = height + 0.05 * rng.standard_normal((n, 2)) > 0
    return Victims(torch.from_numpy(recorded), torch.from_numpy(labels.astype(np.float32)))


class Asked:
    """A system that reads the T waves from the line before the beat, in steps of its output as an int8 file has them,
    and keeps what it was asked."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.float32]] = []

    def __call__(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        self.seen.append(signals.copy())
        scores = np.zeros((len(signals), 2))
        for row, signal in enumerate(signals):
            beats = [beat for beat in find_beats(signal, FS) if 20 < beat < SAMPLES - 70]
            for beat in beats:
                wave = signal[:2, beat + 20 : beat + 50].mean(axis=1) - signal[:2, beat - 20 : beat - 5].mean(axis=1)
                scores[row] += wave / len(beats)
        return (np.rint(scores * 256) / 256).astype(np.float32)


def auc_aim(predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> AucObjective:
    others = heart(60, seed=99)
    scores = torch.from_numpy(predict(others.signals.numpy()))
    return AucObjective(scores.unsqueeze(0), others.labels, scores.std(dim=0), 0.2)


def attacked(attack: Square, victims: Victims, budget_mv: float, seed: int = 1) -> Tensor:
    predict = Asked()
    (found,) = attack(
        predict, victims, [auc_aim(Asked())], [budget_mv], torch.Generator().manual_seed(seed), step_mv=STEP, fs_hz=FS
    )
    return found.delta


def auc_of(victims: Victims, delta: Tensor) -> float:
    return macro_auc(Asked()((victims.signals + delta).numpy()), victims.labels.numpy())


@settings(max_examples=25, deadline=None)
@given(
    budget_mv=st.floats(0.001, 0.2),
    step_mv=st.sampled_from([0.001, 0.0024, 0.005]),
    queries=st.integers(1, 12),
    in_step=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_asks_as_often_as_it_says_and_only_what_can_be_recorded(
    budget_mv: float, step_mv: float, queries: int, in_step: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.integers(-500, 500, (3, 2, 60))
    clean = steps.astype(np.float32) * np.float32(step_mv)
    victims = Victims(torch.from_numpy(clean), torch.tensor([[1.0], [0.0], [1.0]]))
    weights = rng.standard_normal((2, 60)).astype(np.float32)
    seen = []

    def predict(signals: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(signals)
        scores: NDArray[np.float32] = (signals * weights).sum(axis=(1, 2), keepdims=True)[:, :, 0]
        return scores

    (found,) = Square(queries, in_step=in_step)(
        predict,
        victims,
        [Linear(torch.ones(1))],
        [budget_mv],
        torch.Generator().manual_seed(seed),
        step_mv=step_mv,
        fs_hz=100.0,
    )
    most = int(np.floor(budget_mv / step_mv + 1e-6))
    moved = np.rint(found.delta.numpy() / np.float32(step_mv)).astype(int)
    assert found.delta.dtype == torch.float32
    np.testing.assert_array_equal(found.delta.numpy(), moved.astype(np.float32) * np.float32(step_mv))
    if most == 0:
        assert not seen and not moved.any() and (found.facts["queries"] == 0).all()
        return
    assert (np.abs(moved) == most).all()
    assert len(seen) == queries and (found.facts["queries"] == queries).all()
    # What was asked last or before is what is returned, bit for bit, and every query lies on the recorder's steps.
    recorded = (steps + moved).astype(np.float32) * np.float32(step_mv)
    for row in range(3):
        assert any(np.array_equal(recorded[row], asked[row]) for asked in seen)
    for asked in seen:
        whole = np.rint(asked / np.float32(step_mv)).astype(int)
        np.testing.assert_array_equal(asked, whole.astype(np.float32) * np.float32(step_mv))
        assert (np.abs(whole - steps) == most).all()


def test_no_query_is_wasted_on_what_is_known() -> None:
    """A proposal is never the accepted perturbation itself, though random signs would often draw it again."""
    victims = Victims(torch.zeros(4, 1, 50), torch.ones(4, 1))
    seen: list[NDArray[np.float32]] = []

    def refuses(signals: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(signals)
        return np.full((4, 1), len(seen), np.float32)  # each worse than the one before: the start stays

    Square(40)(refuses, victims, [Linear(torch.ones(1))], [0.01], torch.Generator(), step_mv=0.01, fs_hz=FS)
    for asked in seen[1:]:
        assert (asked != seen[0]).any(axis=(1, 2)).all()


def test_what_was_accepted_never_gets_worse() -> None:
    victims, predict, aim = heart(12, seed=1), Asked(), auc_aim(Asked())
    worth: list[Tensor] = []
    Square(60)(
        predict,
        victims,
        [aim],
        [0.05],
        torch.Generator().manual_seed(1),
        step_mv=STEP,
        fs_hz=FS,
        watch=lambda progress, scores: worth.append(aim(scores, victims.labels, progress)),
    )
    path = torch.stack(worth)
    assert len(path) == 59
    assert (path[1:] >= path[:-1]).all() and (path[-1] > path[0]).all()


def test_equal_generators_give_equal_bytes() -> None:
    victims = heart(4, seed=2)
    one, again, other = (attacked(Square(10), victims, 0.05, seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_every_budget_of_the_list_is_answered_and_stronger() -> None:
    victims = heart(60, seed=3)
    budgets = [0.002, 0.02, 0.1]
    aim = auc_aim(Asked())
    found = Square(60)(Asked(), victims, [aim] * 3, budgets, torch.Generator().manual_seed(1), step_mv=STEP, fs_hz=FS)
    below, small, large = (auc_of(victims, one.delta) for one in found)
    assert below == auc_of(victims, torch.zeros_like(victims.signals)) > small > large


@pytest.mark.slow
def test_beats_noise_and_more_so_in_step_with_the_heart() -> None:
    victims, epsilon = heart(80, seed=4), 0.05
    signs = random_sign(tuple(victims.signals.shape), epsilon, np.random.default_rng(1))
    clean = auc_of(victims, torch.zeros_like(victims.signals))
    noise = auc_of(victims, torch.from_numpy(signs))
    plain = auc_of(victims, attacked(Square(60, in_step=0.0), victims, epsilon))
    in_step = auc_of(victims, attacked(Square(60), victims, epsilon))
    assert clean > 0.85 and abs(noise - clean) < 0.02
    assert plain < noise - 0.1
    assert in_step < plain - 0.1


@pytest.mark.parametrize(
    ("places", "fs_hz", "samples"),
    [([100, 180, 265, 350], 100.0, 400), ([360, 650], 360.0, 900), ([50], 100.0, 120), ([], 100.0, 100)],
)
def test_finds_beats(places: list[int], fs_hz: float, samples: int) -> None:
    signal = np.full((2, samples), 0.3, np.float32)
    for place in places:
        signal[:, place - 1 : place + 2] += np.array([0.5, -1.0, 0.5], np.float32)
    found = find_beats(signal, fs_hz)
    assert len(found) == len(places)
    assert (np.abs(found - np.array(places)) <= 0.05 * fs_hz).all()


def test_the_method_spends_its_queries_as_the_study_asks() -> None:
    victims, references = heart(6, seed=5), heart(30, seed=6)
    scene = Scene(
        budget_mv=0.05,
        step_mv=STEP,
        fs_hz=FS,
        settings=AttackSpec(queries=20),
        references=references,
        prevalence=references.labels.mean(dim=0),
        training=lambda count: references,
    )
    method, predict = SquareMethod.of(scene.settings), Asked()
    prepared = method.prepare(predict, scene, torch.Generator().manual_seed(1))
    assert len(predict.seen) == 1 + 20 // 5  # clean, and a fifth of the queries
    calm = torch.from_numpy(predict(references.signals.numpy()))
    side = 1 - 2 * references.labels
    assert prepared["scores"].shape == (1, 30, 2)
    assert float((side * (prepared["scores"][0] - calm)).mean()) > 0  # attacked: pushed against their labels
    predict.seen.clear()
    found = method.perturb(predict, scene, prepared, victims, torch.Generator().manual_seed(2))
    assert len(predict.seen) == 20 and (found.facts["queries"] == 20).all()
    assert found.delta.abs().max() == pytest.approx(0.05)
