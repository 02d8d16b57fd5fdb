"""``build/<study>/certified.json``: what is proved of every file at every budget, or why nothing is.

In: the proofs of :mod:`certify.study`. Out: the same, checked, for tables, answers and the gate. A proof is of bytes
and of rules: it names the SHA-256 of the file, of the recordings and of the code that bounded them, and whoever reads
it holds these against what is there now (:mod:`report.numbers.proofs`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pulseproof.core.code_digest import code_of
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.core.terminal.hints import command
from pulseproof.runtime.files import read_json, write_json

# Bump when the same file would get other bounds.
VERSION = 2
# Whose code makes the bounds, and whose makes numbers of them: an edited rule makes them anew.
CODE = ("pulseproof.certify.bounds", "pulseproof.models.hardened.interval", "pulseproof.twins.opening")


class FrozenEntry(BaseModel):
    """Of a file of proofs: nothing unknown in it, and no number that JSON does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClassProof(FrozenEntry):
    """The proved AUC of a class, with the 95 % interval over patients; null where it is not defined."""

    auc: float | None
    low: float | None
    high: float | None


class ProofEntry(FrozenEntry):
    """A file (``artifact``, with its ``sha256``) at a budget. What is not defined is null. ``width``: the mean width of
    the bounds in standard deviations of the clean scores. ``bounds``: the file of the bounds, float64 (2, n, classes),
    beside certified.json."""

    artifact: str
    sha256: str
    budget_mv: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    class_aucs: dict[str, ClassProof]
    decided: float | None
    sensitivity: float | None
    specificity: float | None
    width: float
    bounds: str


class UnprovedEntry(FrozenEntry):
    """A file (of these bytes) of which nothing is proved, and why."""

    artifact: str
    sha256: str
    reason: str


class Certified(FrozenEntry):
    """All proofs of a study: of ``recordings`` test recordings of ``patients`` people, whose bytes have the SHA-256
    ``signals`` (as ``signals/clean.npy``) and ``labels``; by the rules whose code has the digest ``rules``."""

    format: Literal[2] = 2
    study: str
    note: str
    recordings: int
    patients: int
    signals: str
    labels: str
    rules: str
    proofs: tuple[ProofEntry, ...]
    unproved: tuple[UnprovedEntry, ...]

    def of(self, artifact: str) -> dict[float, ProofEntry]:
        """{budget: proof} of a file."""
        return {each.budget_mv: each for each in self.proofs if each.artifact == artifact}


def rules_now() -> str:
    """The digest of the code by which bounds are made today."""
    return f"{VERSION}-{code_of(CODE).digest}"


def certified_path(study: Study, build: Path) -> Path:
    """Where the proofs of a study are."""
    return build / study.name / "certified.json"


def write_certified(path: Path, certified: Certified) -> None:
    """Write them, beside and renamed."""
    write_json(path, certified.model_dump(mode="json"))


def read_certified(path: Path) -> Certified | None:
    """Read them; None where nothing was certified, or by a version that wrote them otherwise. Raises InputError for a
    damaged file."""
    if not path.exists():
        return None
    try:
        value = read_json(path)
        if isinstance(value, dict) and isinstance(value.get("format"), int) and value["format"] != 2:
            return None
        return Certified.model_validate(value)
    except (OSError, ValueError, ValidationError):
        raise InputError(f"{path}: not a readable file of proofs", f"{command('certify')} makes it again") from None
