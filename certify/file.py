"""``build/<study>/certified.json``: what is proved of every file at every budget, or why nothing is.

In: the proofs of :mod:`certify.study`. Out: the same, checked, for tables, answers and the gate.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.core.terminal.hints import command
from pulseproof.runtime.files import read_json, write_json


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProofEntry(_Frozen):
    """A file (``artifact``, with its ``sha256``) at a budget. What is not defined is null. ``width``: the mean width of
    the bounds in standard deviations of the clean scores."""

    artifact: str
    sha256: str
    budget_mv: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    class_aucs: dict[str, float | None]
    decided: float | None
    sensitivity: float | None
    specificity: float | None
    width: float


class UnprovedEntry(_Frozen):
    """A file of which nothing is proved, and why."""

    artifact: str
    reason: str


class Certified(_Frozen):
    """All proofs of a study: of ``recordings`` test recordings of ``patients`` people, for the ``engine`` that was held
    against the bounds."""

    format: int = 1
    study: str
    note: str
    recordings: int
    patients: int
    proofs: tuple[ProofEntry, ...]
    unproved: tuple[UnprovedEntry, ...]

    def of(self, artifact: str) -> dict[float, ProofEntry]:
        """{budget: proof} of a file."""
        return {each.budget_mv: each for each in self.proofs if each.artifact == artifact}


def certified_path(study: Study, build: Path) -> Path:
    """Where the proofs of a study are."""
    return build / study.name / "certified.json"


def write_certified(path: Path, certified: Certified) -> None:
    """Write them, beside and renamed."""
    write_json(path, certified.model_dump(mode="json"))


def load_certified(study: Study, build: Path) -> Certified | None:
    """Read them; None where nothing was certified. Raises InputError for a damaged file."""
    path = certified_path(study, build)
    if not path.exists():
        return None
    try:
        return Certified.model_validate(read_json(path))
    except (OSError, ValueError, ValidationError):
        raise InputError(f"{path}: not a readable file of proofs", f"{command('certify')} makes it again") from None
