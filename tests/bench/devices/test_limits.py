"""What fits into a microcontroller, by the limits of a study."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from pulseproof.core.study import LimitsSpec
from pulseproof.report.numbers.machines import MachineLine
from pulseproof.report.tables.limits import verdicts

LINE = MachineLine(
    **dict.fromkeys(("auc_host", "largest", "step", "share", "verdict", "text", "ratio", "cpu", "cpu_host")),
    device="emulated-cortex-m4",
    model="cnn",
    recipe="tflite-int8-full",
    signals="clean",
    n=64,
    auc=0.9,
    instructions=45.2e6,
    flash_kb=250.0,
    ram_kb=47.0,
    stack_kb=1.5,
)
ATTACKED = replace(LINE, signals="pgd-cnn-0.02mV", auc=0.7)
LIMITS = LimitsSpec(flash_kb=256, ram_kb=48.5, mhz=64, deadline_ms=1000)


def test_each_limit_is_held_against_what_was_taken() -> None:
    (found,) = verdicts([LINE, ATTACKED], LIMITS)
    assert found.fits and found.least_ms == pytest.approx(706.25)
    assert found.text == (
        "cnn/tflite-int8-full on cortex-m4 fits: flash 250 of 256 kB, RAM 48 of 48.5 kB, at least 706 of 1000 ms at "
        "64 MHz (estimate: at most one instruction a cycle); AUC clean .900; pgd-cnn-0.02mV .700"
    )
    for name, most in (("flash_kb", 249), ("ram_kb", 48), ("deadline_ms", 700)):
        (found,) = verdicts([LINE, ATTACKED], LIMITS.model_copy(update={name: most}))
        assert not found.fits and "does not fit (" in found.text
    # Another core may complete two instructions a cycle.
    (found,) = verdicts([replace(LINE, device="emulated-cortex-m7")], LIMITS.model_copy(update={"deadline_ms": 700}))
    assert found.fits and found.least_ms == pytest.approx(353.125)
    assert verdicts([replace(LINE, flash_kb=None)], LIMITS) == []


def test_what_fits_comes_first_and_then_the_best_under_attack() -> None:
    lens = [replace(one, model="ecg-lens", auc=(one.auc or 0) + 0.05) for one in (LINE, ATTACKED)]
    large = replace(LINE, model="lstm", flash_kb=999.0, auc=0.99)
    found = verdicts([large, LINE, ATTACKED, *lens], LIMITS)
    assert [each.artifact.partition("/")[0] for each in found] == ["ecg-lens", "cnn", "lstm"]


def test_without_limits_no_number_is_one() -> None:
    (found,) = verdicts([LINE], LimitsSpec())
    assert found.fits and found.least_ms is None and "ms" not in found.text
    with pytest.raises(ValidationError):
        LimitsSpec(flash_kb=0)
