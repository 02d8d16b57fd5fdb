"""A cluster behind certificates: Dask's own configuration is obeyed, and without it nobody is talked to."""

from __future__ import annotations

import shutil
from pathlib import Path

import dask
import pytest

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained
from tests.attacks.grid.making import certified, dask_cluster, hashes


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make certificates with")
def test_a_cluster_that_asks_for_certificates(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    ours, others = certified(home / "ours"), certified(home / "others")
    with dask.config.set(ours), dask_cluster(home / "tls", 1, configuration=ours) as cluster:
        assert cluster.address.startswith("tls://")
        with dask.config.set(others), pytest.raises(InputError, match="no Dask scheduler answers"):
            hashes(recordings, trained, home / "stranger", scheduler=cluster.address)
        assert hashes(recordings, trained, home / "certified", scheduler=cluster.address) == expected


def test_no_certificate_is_a_sentence(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    with pytest.raises(InputError, match="asks for a certificate, and Dask's configuration here names none"):
        hashes(recordings, trained, home / "bare", scheduler="tls://127.0.0.1:1")
