"""Where a signal set is made changes no byte of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulseproof.attacks.grid import cluster
from pulseproof.attacks.grid.cluster import check_worker, versions
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained
from tests.attacks.grid.making import dask_cluster, hashes


@pytest.mark.slow
def test_two_worker_processes_give_the_same_bytes(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    assert len(set(expected.values())) == len(expected) == 1 + 2 * (4 * 2 + 2)
    assert hashes(recordings, trained, home / "two", workers=2) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "threads"), [(2, 1), (1, 4)])
def test_a_dask_cluster_gives_the_same_bytes(
    workers: int,
    threads: int,
    home: Path,
    recordings: Recordings,
    trained: dict[str, Trained],
    expected: dict[str, str],
) -> None:
    """Several threads of a worker share its models, and a soft forest is sharpened step by step."""
    with dask_cluster(home / f"cluster-{threads}", workers, threads) as dask:
        assert hashes(recordings, trained, home / f"dask-{threads}", scheduler=dask.address) == expected


def test_a_scheduler_that_does_not_answer_is_a_sentence(
    home: Path, recordings: Recordings, trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        hashes(recordings, trained, home / "nowhere", scheduler="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_cluster_without_workers_is_a_sentence(
    home: Path, recordings: Recordings, trained: dict[str, Trained]
) -> None:
    with dask_cluster(home / "idle", workers=0) as dask, pytest.raises(InputError, match="it has no workers"):
        hashes(recordings, trained, home / "unmade", scheduler=dask.address)


def test_a_worker_that_would_make_other_bytes_is_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    assert check_worker(token, versions()) == f"it does not see {tmp_path}"
    token.touch()
    assert check_worker(token, versions()) is None
    other = check_worker(token, versions() | {"torch": "1.0"})
    assert other is not None
    assert other.endswith("not 1.0")
