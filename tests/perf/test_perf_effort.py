"""Enough beside all steps: what is measured is of both, and when a claim is missed. No test asserts a time."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from perf.effort import BUDGETS_MV, Effort, Reach, effort_markdown, effort_tables, measure_effort, missed
from pulseproof.models.nets import Cnn
from tests.export.making import as_trained, small_study
from tests.models.making import small_recordings

FINE = Effort("cnn", 0.01, 0.665, 0.666, (0.4, 0.5, 0.9))
REACHED = Reach("cnn", 0.01, 0.69, 0.689, 3, (0.2, 0.3, 0.9))


def test_both_efforts_attack_the_same_recordings_and_a_small_net(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "small")
    about = recordings.about
    torch.manual_seed(1)
    net = as_trained(Cnn(len(about.leads), recordings.shape[1], len(about.classes), width=4), recordings)
    before = torch.get_num_threads()
    found = measure_effort(small_study(), recordings, [net], budgets_mv=(0.05,), reach_mv=(), records=16, rounds=2)
    (one,) = found
    assert isinstance(one, Effort) and len(one.ratios) == 2 and torch.get_num_threads() == before
    assert 0 <= one.enough <= 1 and 0 <= one.all_steps <= 1 and all(ratio > 0 for ratio in one.ratios)
    assert "| 0.05 |" in effort_markdown(found) and effort_tables(found)[0].row_count == 1


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FINE, None),
        (REACHED, None),
        (replace(FINE, enough=0.6672), "weaker by 0.0022"),
        (replace(FINE, enough=math.nan), "weaker by nan"),
        (replace(FINE, ratios=(0.4, 0.7, 0.9)), "0.70 of the time"),
        (replace(REACHED, steps=None), "is not reached"),
        (replace(REACHED, ratios=(0.2, 0.34, 0.9)), "0.34 of its time"),
    ],
)
def test_a_claim_is_missed_when_it_does_not_hold(found: Effort | Reach, said: str | None) -> None:
    assert (missed([found]) == []) if said is None else (said in missed([found])[0])


def test_budgets_are_weighed_together_by_the_net() -> None:
    half = [replace(FINE, budget_mv=budget, ratios=(0.2 if budget < 0.01 else 0.7,)) for budget in BUDGETS_MV]
    assert missed(half) == []
