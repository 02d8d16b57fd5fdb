"""Systems trained once for all tests of the exporters."""

from __future__ import annotations

import pytest
import torch

from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained, train_study
from tests.export.making import small_study
from tests.models.making import small_recordings


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small", n=300)


@pytest.fixture(scope="session")
def trained(recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    torch.set_num_threads(1)
    return train_study(small_study(), recordings, tmp_path_factory.mktemp("trained"))
