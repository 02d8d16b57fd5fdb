"""The table of all methods: what each is made on, what it asks of its source, and the class that does it.

A new method is a file of its own and a line here; studies name it by its key (:mod:`core.known_names`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.ball import L2
from pulseproof.attacks.aim.needs import DESCENT, HALF
from pulseproof.attacks.aim.sources import Way
from pulseproof.attacks.apgd import Apgd
from pulseproof.attacks.band import Band
from pulseproof.attacks.disagreement import DisagreementMethod
from pulseproof.attacks.gradient import Pgd, fgsm, mi_fgsm, ni_fgsm
from pulseproof.attacks.method import Method
from pulseproof.attacks.noise import Gaussian, RandomSign, RecordedNoise
from pulseproof.attacks.smooth import Smooth
from pulseproof.attacks.square import SquareMethod
from pulseproof.attacks.transfer import DiverseMethod
from pulseproof.attacks.universal import UniversalMethod
from pulseproof.core.study import AttackSpec
from pulseproof.core.study import Method as Name

AIMED = ("steps", "temperature", "references")
DESCENDING = (*AIMED, "effort")


@dataclass(frozen=True)
class MethodEntry:
    """``made_on``: each model, the ensemble of the others, each deployed file, or nothing (a control). ``way``: what it
    asks of its source. ``settings``: the fields of the study's attacks on which its bytes depend. ``noise``: the
    recorded noise that it takes, a record under ``noise_path``."""

    says: str
    made_on: Literal["model", "others", "file", "nothing"]
    way: Way | None
    settings: tuple[str, ...]
    make: Callable[[AttackSpec], Method]
    noise: str | None = None

    @property
    def control(self) -> bool:
        """True for what does not know the model: an attack must do better."""
        return self.made_on == "nothing"


def _model(says: str, make: Callable[[AttackSpec], Method], settings: tuple[str, ...] = AIMED) -> MethodEntry:
    return MethodEntry(says, "model", "gradient", settings, make)


def _control(says: str, make: Callable[[AttackSpec], Method]) -> MethodEntry:
    return MethodEntry(says, "nothing", None, (), make)


def _recorded(says: str, kind: str) -> MethodEntry:
    return MethodEntry(says, "nothing", None, ("noise_path",), lambda asked: RecordedNoise(kind), noise=kind)


def _diverse(asked: AttackSpec) -> DiverseMethod:
    return DiverseMethod(Aimed(Pgd(asked.steps, momentum=1.0, start="zero"), needs=HALF))


METHODS: dict[Name, MethodEntry] = {
    "pgd": _model("PGD on the AUC objective", lambda asked: Aimed(Pgd(asked.steps), needs=DESCENT), DESCENDING),
    "pgd-l2": _model(
        "PGD on the AUC objective, L2 ball of equal energy",
        lambda asked: Aimed(Pgd(asked.steps, L2), needs=DESCENT),
        DESCENDING,
    ),
    "pgd-bce": _model("PGD on cross-entropy", lambda asked: Aimed(Pgd(asked.steps), "bce", DESCENT), DESCENDING),
    "pgd-linear": _model("PGD on signed scores", lambda asked: Aimed(Pgd(asked.steps), "linear", DESCENT), DESCENDING),
    "fgsm": _model("one step of the whole budget", lambda asked: Aimed(fgsm(), needs=HALF)),
    "apgd": _model("APGD on the AUC objective", lambda asked: Aimed(Apgd(asked.steps))),
    "mi-fgsm": _model("momentum, for transfer", lambda asked: Aimed(mi_fgsm(asked.steps), needs=HALF)),
    "ni-fgsm": _model("Nesterov's momentum, for transfer", lambda asked: Aimed(ni_fgsm(asked.steps), needs=HALF)),
    "diverse": _model("momentum over shifted, scaled, drifting inputs, for transfer", _diverse),
    "ensemble": MethodEntry("the other models together, over inputs that vary", "others", "gradient", AIMED, _diverse),
    "smooth": _model("smooth adversarial perturbation (SAP)", lambda asked: Aimed(Pgd(asked.steps, Smooth()))),
    "band": _model("confined to 0.5 to 40 Hz", lambda asked: Aimed(Pgd(asked.steps, Band()))),
    "universal": _model(
        "one perturbation for all recordings, at any time shift", UniversalMethod.of, (*AIMED, "training_records")
    ),
    "twin": MethodEntry(
        "PGD through the deployed file's own graph",
        "file",
        "twin",
        DESCENDING,
        lambda asked: Aimed(Pgd(asked.steps), needs=DESCENT),
    ),
    "square": MethodEntry(
        "Square, by queries of the deployed file alone", "file", "queries", ("queries", "references"), SquareMethod.of
    ),
    "disagree": MethodEntry(
        "recordings on which a file and its float parent decide differently",
        "file",
        "twin",
        AIMED,
        DisagreementMethod.of,
    ),
    "random-sign": _control("every sample up or down by the budget", lambda asked: RandomSign()),
    "gaussian": _control("white noise of equal energy", lambda asked: Gaussian()),
    "noise-bw": _recorded("recorded baseline wander of equal energy", "bw"),
    "noise-em": _recorded("recorded electrode motion of equal energy", "em"),
    "noise-ma": _recorded("recorded muscle noise of equal energy", "ma"),
}
