"""Classical systems trained against attacks, round by round: fitted, attacked, and fitted again on both.

In: a fitted estimator and the recordings that it was fitted on. Out: the features of what an attack within the budget
makes of them, to be fitted on beside the clean ones. A logistic regression is attacked through its features' own
gradient. A tree has none: its recordings are attacked through a logistic regression of the same features, fitted on the
same numbers. What is left of the forest is then measured by attacks on the forest itself, as of any other
(:mod:`attacks.soft_trees`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pulseproof.core.study import DefenceSpec
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.built_in import logistic_regression
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.models.hardened.defence import BATCH, attacked
from pulseproof.models.lone_label import without_constants

ROUNDS = 4  # of attacks; each is made on what the rounds before it left


def attacked_values(
    estimator: Any,
    features: Features,
    recordings: Recordings,
    rows: NDArray[np.intp],
    defence: DefenceSpec,
    seed: int,
    fitted_on: tuple[NDArray[np.float32], NDArray[np.uint8]],
    what: str,
) -> NDArray[np.float32]:
    """float32 (k, count): the features of the recordings ``rows`` as an attack on ``estimator`` leaves them; ``seed``:
    of its random starts. ``fitted_on``: values and labels, by which a stand-in is fitted where a tree is attacked."""
    alone = recordings.labels.shape[1] == 1
    module = FeatureModel(features, head_of(estimator, alone=alone))
    if not all(getattr(part, "differentiable", True) for part in module.modules()):
        values, labels = fitted_on
        stand_in = logistic_regression(seed)
        stand_in.fit(values, labels[:, 0] if alone else labels)
        module = FeatureModel(features, head_of(without_constants(stand_in), alone=alone))
    generator = torch.Generator().manual_seed(seed)
    found = []
    for first in follow(range(0, len(rows), BATCH), what):
        chosen = rows[first : first + BATCH]
        x = torch.from_numpy(recordings.signals(chosen))
        y = torch.from_numpy(recordings.labels[chosen]).float()
        near = attacked(module, x, y, defence.budget_mv, defence.steps, generator)
        with torch.no_grad():
            found.append(features(near).numpy())
    return np.concatenate(found)
