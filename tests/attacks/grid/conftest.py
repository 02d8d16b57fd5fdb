"""What the tests of the grid share: a small study that is trained, and the hashes of a run that nothing happened to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained, train_study
from tests.attacks.grid.making import hashes, study
from tests.models.making import small_recordings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def recordings(home: Path) -> Recordings:
    return small_recordings(home / "recordings")


@pytest.fixture(scope="module")
def trained(home: Path, recordings: Recordings) -> dict[str, Trained]:
    return train_study(study(), recordings, home)


@pytest.fixture(scope="module")
def expected(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> dict[str, str]:
    """The hashes of a run in one process."""
    return hashes(recordings, trained, home / "one", workers=0)
