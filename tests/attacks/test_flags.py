"""Each flag fires for a model built to deserve it, attacked for real, and none for a plain net."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.audit.flags import Flag, find_flags
from pulseproof.attacks.audit.measured import Again, FlagSubject, MeasuredTarget, measure
from pulseproof.attacks.audit.rechecks import RECHECKS, Recheck, run_again, scores_of
from pulseproof.attacks.gradient import Pgd
from pulseproof.attacks.square import SquareMethod
from pulseproof.core.statistics import Resamples, draw_resamples
from tests.attacks import deserving
from tests.attacks.deserving import (
    RECORDER,
    STEP_MV,
    Clamped,
    Constant,
    Purified,
    Quantised,
    Saturated,
    Turned,
    Twisted,
)

BUDGETS = (0.02, 0.05, 0.1)
MIDDLE = 0.05


@functools.lru_cache
def resamples() -> Resamples:
    """Each recording of a patient of its own."""
    return draw_resamples(np.arange(len(labels())), 300, 1)


def labels() -> NDArray[np.uint8]:
    return deserving.sides().victims.labels.numpy().astype(np.uint8)


def clean() -> NDArray[np.int16]:
    return np.rint(deserving.sides().victims.signals.numpy() / STEP_MV).astype(np.int16)


def attacked(net: nn.Module, budget: float, **settings: float) -> tuple[NDArray[np.int16], dict[str, float]]:
    """The recordings under the default attack on ``net``, as recorded, with the facts of the set."""
    scene = deserving.scene(budget, **settings)
    generator = torch.Generator().manual_seed(3)
    method = Aimed(Pgd(scene.settings.steps))
    prepared = method.prepare(net, scene, generator)
    made = method.perturb(net, scene, prepared, deserving.sides().victims, generator)
    facts = {name: float(values.mean()) for name, values in made.facts.items()}
    return RECORDER.record(clean(), made.delta.numpy(), budget), facts


def queried(net: nn.Module, budget: float) -> NDArray[np.int16]:
    """The recordings under Square, which sees scores alone."""
    scene = deserving.scene(budget)
    generator = torch.Generator().manual_seed(4)
    method = SquareMethod.of(scene.settings)

    def predict(signals: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return net(torch.from_numpy(signals)).numpy()

    prepared = method.prepare(predict, scene, generator)
    made = method.perturb(predict, scene, prepared, deserving.sides().victims, generator)
    return RECORDER.record(clean(), made.delta.numpy(), budget)


def signs(budget: float) -> NDArray[np.int16]:
    coin = np.random.default_rng(5).integers(0, 2, clean().shape) * 2 - 1
    return RECORDER.record(clean(), (coin * budget).astype(np.float32), budget)


def measured(
    target: nn.Module, row: FlagSubject, kind: str, steps: NDArray[np.int16], **more: object
) -> MeasuredTarget:
    scores = scores_of(target, steps, STEP_MV).numpy()
    return measure(row, kind, scores, labels(), resamples(), **more)  # type: ignore[arg-type]


def rows_of(
    nets: Mapping[str, nn.Module],
    target: str,
    budgets: tuple[float, ...] = BUDGETS,
    queries: bool = False,
    **settings: float,
) -> list[MeasuredTarget]:
    """``target`` under the default attack on each of ``nets``, under random signs and, if asked, queries."""
    rows = []
    for budget in budgets:
        rows.append(measured(nets[target], FlagSubject(target, None, "random-sign", budget), "control", signs(budget)))
        for source, net in nets.items():
            steps, facts = attacked(net, budget, **settings)
            rows.append(
                measured(nets[target], FlagSubject(target, source, "pgd", budget), "gradient", steps, facts=facts)
            )
        if queries:
            row = FlagSubject(target, target, "square", budget)
            rows.append(measured(nets[target], row, "queries", queried(nets[target], budget)))
    return rows


def rechecked(net: nn.Module, checks: tuple[Recheck, ...] = RECHECKS, **settings: float) -> list[Again]:
    steps, facts = attacked(net, MIDDLE, **settings)
    before = measured(net, FlagSubject("net", "net", "pgd", MIDDLE), "gradient", steps, facts=facts)
    again = []
    for check in checks:
        scene, generator = deserving.scene(MIDDLE, **settings), torch.Generator().manual_seed(6)
        scores = run_again(check, net, net, scene, RECORDER, clean(), labels(), generator)
        after = measure(before.row, "gradient", scores, labels(), resamples())
        again.append(Again(check.says, check.aim != "auc", before, after))
    return again


def names(flags: list[Flag], target: str = "net") -> set[str]:
    assert all(flag.sentence and flag.row.target == target for flag in flags)
    return {flag.name for flag in flags}


def plain() -> nn.Module:
    return deserving.trained(1)


def other() -> nn.Module:
    return deserving.trained(2)


def test_a_plain_net_deserves_no_flag() -> None:
    rows = rows_of({"net": plain(), "other": other()}, "net", queries=True)
    assert find_flags(rows, rechecked(plain())) == []


@pytest.mark.parametrize(
    ("net", "queries", "expected"),
    [
        (Quantised(plain()), True, {"zero-gradient", "no-better-than-noise", "black-box-stronger"}),
        (Saturated(plain()), False, {"zero-gradient", "transfer-stronger", "not-at-collapse"}),
        (Turned(plain()), True, {"no-better-than-noise", "black-box-stronger", "transfer-stronger", "not-at-collapse"}),
        (Constant(), False, {"zero-gradient", "no-better-than-noise", "not-at-collapse"}),
        (Purified(plain(), 0.14), False, {"not-monotone", "not-at-collapse", "transfer-stronger"}),
    ],
    ids=["quantised", "saturated", "turned", "constant", "purified"],
)
def test_a_masked_gradient_is_flagged(net: nn.Module, queries: bool, expected: set[str]) -> None:
    found = names(find_flags(rows_of({"net": net, "other": other()}, "net", queries=queries)))
    assert expected <= found


def test_a_flag_names_the_row_in_doubt() -> None:
    flags = find_flags(rows_of({"net": Turned(plain()), "other": other()}, "net"))
    (transfer,) = [flag for flag in flags if flag.name == "transfer-stronger" and flag.row.budget_mv == MIDDLE]
    assert transfer.row == FlagSubject("net", "net", "pgd", MIDDLE)
    assert "pgd made on other" in transfer.sentence
    assert "0.05 mV" in transfer.sentence


def test_the_zero_gradient_is_said_once() -> None:
    flags = find_flags(rows_of({"net": Quantised(plain())}, "net"))
    (zero,) = [flag for flag in flags if flag.name == "zero-gradient"]
    assert zero.row == FlagSubject("net", "net")
    assert "100%" in zero.sentence


def test_budgets_that_end_too_soon() -> None:
    rows = rows_of({"net": plain()}, "net", budgets=(0.02,))
    assert names(find_flags(rows)) == {"not-at-collapse"}


def test_transfer_alone_is_no_white_box() -> None:
    rows = [row for row in rows_of({"net": plain(), "other": other()}, "net") if row.row.source != "net"]
    assert names(find_flags(rows)) == {"no-white-box"}
    assert find_flags([row for row in rows if row.kind == "control"]) == []


def test_too_few_steps_on_a_twisted_surface() -> None:
    net = Twisted(plain(), 0.05, 0.01)
    assert "unsettled" in names(find_flags([], rechecked(net, steps=5)))


def test_an_objective_without_gradient_is_beaten_by_another() -> None:
    """At a tiny temperature the AUC objective is flat nearly everywhere."""
    assert "other-objective-stronger" in names(find_flags([], rechecked(plain(), temperature=1e-4)))


@pytest.mark.parametrize("masked", [True, False])
def test_an_unmasked_twin_is_weaker_than_transfer(masked: bool) -> None:
    """The file computes the same whether its twin's rounding is masked or not; only the attack tells."""
    file, twin = Clamped(plain(), masked=True), Clamped(plain(), masked)
    rows = []
    for budget in BUDGETS:
        for source, net in (("net", plain()), ("net/onnx-int8-static", twin)):
            row = FlagSubject("net/onnx-int8-static", source, "pgd" if source == "net" else "twin", budget)
            rows.append(measured(file, row, "gradient", attacked(net, budget)[0]))
    assert np.array_equal(scores_of(twin, clean(), STEP_MV), scores_of(file, clean(), STEP_MV))
    found = names(find_flags(rows), "net/onnx-int8-static")
    assert found == (set() if masked else {"twin-weaker-than-transfer"})


def test_a_file_without_a_twin_is_held_to_its_parent() -> None:
    rows = rows_of({"net/onnx-int8-static": plain(), "net": plain(), "other": other()}, "net/onnx-int8-static")
    rows = [row for row in rows if row.row.source != "net/onnx-int8-static"]
    assert find_flags(rows) == []


def test_a_twin_at_one_budget_stands_beside_its_parent_at_the_others() -> None:
    """The file collapses by transfer where its twin was not asked."""
    file = "net/onnx-int8-static"
    rows = [
        measured(plain(), FlagSubject(file, source, method, budget), "gradient", attacked(plain(), budget)[0])
        for source, method, budget in (("net", "pgd", 0.05), (file, "twin", 0.05), ("net", "pgd", 0.1))
    ]
    assert find_flags(rows) == []
    assert names(find_flags(rows[:2]), file) == {"not-at-collapse"}


def test_a_row_without_auc_is_passed_over() -> None:
    """Everybody has every label: nothing can be ranked."""
    scores = scores_of(plain(), clean(), STEP_MV).numpy()
    everyone = np.ones_like(labels())
    rows = [measure(FlagSubject("net", "net", "pgd", 0.1), "gradient", scores, everyone, resamples())]
    assert find_flags(rows) == []


def test_a_twin_that_is_another_model() -> None:
    (flag,) = find_flags([], twins={"net/onnx-int8-static": "3 output steps apart"})
    assert flag.name == "twin-differs"
    assert "3 output steps apart" in flag.sentence
    assert flag.row.target == "net/onnx-int8-static"


def test_other_balls_are_not_compared() -> None:
    """An L2 set of another model's may exceed every L-infinity one: that says nothing about the white box."""
    rows = rows_of({"net": plain()}, "net")
    loud, _ = attacked(plain(), 0.2)
    rows.append(measured(plain(), FlagSubject("net", "other", "pgd-l2", 0.02), "gradient", loud, norm="l2"))
    assert find_flags(rows) == []
