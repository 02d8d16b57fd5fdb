"""Studies know the names of methods from the table alone, without what its lines need."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from pulseproof.attacks.methods import METHODS
from pulseproof.core.known_names import method_names
from pulseproof.core.study import AttackSpec


def test_the_names_are_those_of_the_table() -> None:
    assert method_names() == tuple(METHODS)
    assert AttackSpec(methods=tuple(METHODS)).methods == tuple(METHODS)


def test_an_unknown_method_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ValidationError, match="no method 'pgd-l7'; there are pgd, pgd-l2"):
        AttackSpec(methods=("pgd-l7",))


def test_a_study_is_checked_without_torch() -> None:
    script = "import sys; from pulseproof.core.study import AttackSpec; AttackSpec(methods=('apgd',)); "
    done = subprocess.run(
        [sys.executable, "-c", script + "print('torch' in sys.modules)"], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["False"], done.stderr
