"""What the answers say about classes: the weakest one of the recommended file, and those ranked worse than by chance.

In come rows of an :class:`~report.numbers.evaluation.Evaluation`; out come sentences for
:mod:`report.answers.questions` and :mod:`report.answers.doubt`. A macro AUC hides which class fails, so the file that
is recommended never goes without the class that it is worst at, clean and attacked, and how many patients that rests
on.
"""

from __future__ import annotations

from pulseproof.models.class_auc import NEAR_CHANCE
from pulseproof.report.answers.types import Sentence
from pulseproof.report.numbers.classes import CHANCE, ClassValue, class_words, weakest
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text

NAMED = 4  # files in a sentence; more are counted


def weakest_class(clean: Row | None, worst: Row | None) -> list[Sentence]:
    """The class of the lowest clean AUC of the rows of one file, and what attacks leave of it; the class that is
    weakest under attack too, where that is another. None without a clean AUC."""
    found = weakest(None if clean is None else clean.class_aucs)
    if clean is None or found is None:
        return []
    name, value = found
    text = f"Its weakest class is {name}: {class_words(value)} clean"
    if worst is not None and (attacked := (worst.class_aucs or {}).get(name)) is not None:
        text += f", {class_words(attacked)} in the worst case at {budget_text(worst.budget_mv or 0)}"
        other = weakest(worst.class_aucs)
        if other is not None and other[0] != name:
            text += f" (there {other[0]} is weaker still: {class_words(other[1])}, {_behind(other[1])})"
    text += f"; {_behind(value)}."
    if value.auc is not None and value.auc < CHANCE:
        text += f" Clean recordings with {name} are ranked below those without: do not use it for {name}."
    mean = f"macro over {clean.classes} of {len(clean.class_aucs or {})} classes"
    return [Sentence(text, f"one-vs-rest AUC of each class on {clean.device}, {clean.n} recordings; {mean}")]


def below_chance(evaluation: Evaluation) -> list[Sentence]:
    """A sentence for each class whose clean AUC is below .5 in any file, with the files."""
    found: dict[str, dict[str, ClassValue]] = {}
    for row in evaluation.rows:
        for name, value in (row.class_aucs or {}).items() if row.method == "clean" else ():
            if value.auc is not None and value.auc < CHANCE:
                found.setdefault(name, {}).setdefault(row.artifact, value)
    said = []
    for name, files in found.items():
        words = [f"{artifact} ({class_words(value)})" for artifact, value in files.items()]
        more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
        text = (
            f"Clean recordings of {name} are ranked worse than by chance by {', '.join(words[:NAMED])}{more}: a macro "
            "AUC above .5 hides it."
        )
        said.append(Sentence(text, _behind(next(iter(files.values())))))
    return said


def near_chance(evaluation: Evaluation) -> list[Sentence]:
    """A sentence where files rank the clean recordings near chance or below it, as one does that is fed another signal
    than it was trained on."""
    found = {
        row.artifact: row.auc
        for row in evaluation.rows
        if row.method == "clean" and row.auc is not None and row.auc < NEAR_CHANCE
    }
    if not found:
        return []
    words = [f"{artifact} ({auc_text(value)})" for artifact, value in found.items()]
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    text = (
        f"Clean recordings are ranked near chance by {', '.join(words[:NAMED])}{more}: such a file is fed another "
        "signal than it was trained on, or is no model of this task. [models.<name>.input] says what it expects."
    )
    return [Sentence(text, f"clean AUC below {NEAR_CHANCE:g}; `pulseproof bring` tries the usual scalings")]


def _behind(value: ClassValue) -> str:
    plural = "s" * (value.recordings != 1), "s" * (value.patients != 1)
    return f"{value.recordings:,} recording{plural[0]} of {value.patients:,} patient{plural[1]} have it"
