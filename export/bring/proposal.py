"""What is proposed of a brought file: the table of its trials, a ``[models.<name>]`` block, and what must be doubted.

In: trials (:mod:`export.bring.trials`). Out: text for people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import ModelSpec
from pulseproof.core.toml_files import toml_value
from pulseproof.export.bring.trials import ALIKE, ScalingTrial, alike
from pulseproof.export.bring.ways import said
from pulseproof.models.class_auc import NEAR_CHANCE
from pulseproof.models.front.fitting import MOST_CLIPPED

SHOWN = 12


def spec_of(file: str, trial: ScalingTrial, output: str | None) -> ModelSpec:
    """What a study would say of the file."""
    chosen = trial.spec
    if trial.clipped is not None and trial.clipped > MOST_CLIPPED:
        chosen = chosen.model_copy(update={"clips": True})
    return ModelSpec(
        file=file, input=None if chosen == InputSpec() else chosen, output=output, classes=trial.order or None
    )


def block(name: str, spec: ModelSpec) -> str:
    """The tables of a study file that say so."""
    asked = {key: value for key, value in spec.model_dump(exclude_defaults=True).items() if value is not None}
    inside: dict[str, Any] = asked.pop("input", {})
    others: dict[str, Any] = inside.pop("others", {})
    tables = {name: asked, f"{name}.input": inside, f"{name}.input.others": others}
    return "\n\n".join("\n".join([f"[models.{one}]", *_lines(table)]) for one, table in tables.items() if table)


def _lines(table: dict[str, Any]) -> list[str]:
    return [f"{_key(key)} = {toml_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    """A key as TOML has it: the name of an input may have a colon or a slash."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else toml_value(key)


def trial_table(trials: Sequence[ScalingTrial], records: int) -> Table:
    """The trials, the best first."""
    clips = any(trial.clipped is not None for trial in trials)
    heads = ("fed with", "AUC", "validation", "lowest class", *(["clipped"] if clips else []))
    drawn = Table(*heads, title=f"{records} training and validation recordings")
    ordered = sorted(trials, key=lambda trial: -1.0 if trial.auc is None else trial.auc, reverse=True)
    for trial in ordered[:SHOWN]:
        share = [] if not clips else ["" if trial.clipped is None else f"{trial.clipped:.1%}"]
        note = f"; classes = {list(trial.order)}" if trial.order else ""
        if trial.auc is None:
            drawn.add_row(said(trial.spec), trial.failed or "not defined", "", "", *share)
            continue
        known = sorted((value, name) for name, value in trial.by_class.items() if value is not None)
        drawn.add_row(
            said(trial.spec) + note,
            f"{trial.auc:.3f}",
            _auc(trial.validation),
            f"{known[0][1]} {known[0][0]:.3f}",
            *share,
        )
    return drawn


def _auc(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def doubts(trial: ScalingTrial, trials: Sequence[ScalingTrial]) -> list[str]:
    """What speaks against a proposal, one of ``trials``, a sentence each."""
    assert trial.auc is not None
    found = []
    others = [said(other.spec) for other in alike(trials) if other is not trial]
    if others:
        found.append(
            f"these recordings cannot tell it from {'; '.join(others)}: their AUCs are within {ALIKE:g}, and the "
            "likelier one is proposed. Its owner knows"
        )
    if trial.auc < NEAR_CHANCE:
        found.append(
            f"WARNING: at best it ranks these recordings with an AUC of {trial.auc:.3f}, near chance (.5): it was "
            "trained on something else than any of the usual scalings, or on another task. Say in [models.x.input] "
            "what its owner did to the signal"
        )
    if trial.order:
        found.append(
            "the order of its classes was found on these recordings alone: ask its owner whether it is "
            f"{', '.join(trial.order)}"
        )
    if trial.clipped is not None and trial.clipped > MOST_CLIPPED:
        found.append(f"WARNING: its input of whole numbers clips {trial.clipped:.0%} of the samples even so")
    return found
