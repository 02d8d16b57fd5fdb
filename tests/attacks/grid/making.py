"""A small study for the grid, the hashes of its signal sets, and a Dask cluster on the loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import distributed

from pulseproof.attacks.grid.study import attack_study
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained

CERTIFICATE = (("cert", "signed.pem"), ("key", "key.pem"))
METHODS = ["pgd", "apgd", "diverse", "random-sign", "gaussian", "universal"]


def study(**attacks: object) -> Study:
    settings = {"methods": METHODS, "budgets_mv": [0.01, 0.05], "steps": 3, "references": 16, "shard": 10}
    settings |= {"training_records": 16} | attacks
    models = {"cnn": {"epochs": 2, "batch_size": 16, "options": {"width": 4}}, "decision-tree": {}}
    content = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models, "attacks": settings}
    return Study.model_validate(content)


def hashes(recordings: Recordings, trained: dict[str, Trained], build: Path, **where: object) -> dict[str, str]:
    """The SHA-256 of every set of :func:`study`, made in ``build``, ``where`` :func:`attack_study` is told."""
    made = attack_study(study(), recordings, trained, build, **where)  # type: ignore[arg-type]
    assert not made.not_applicable
    return {each.name: each.sha256 for each in made.sets}


@dataclass(frozen=True)
class DaskCluster:
    """``workers``: the process ids of those that work, which their nannies start again when they die."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[int]


def certified(folder: Path) -> dict[str, str]:
    """Make an authority in ``folder`` and a certificate of it, for all sides; returns Dask's configuration by them."""
    folder.mkdir()
    ca, key, asked, signed = (str(folder / name) for name in ("ca.pem", "key.pem", "asked.pem", "signed.pem"))
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj"]
    for command in (
        [*new, "/CN=authority", "-x509", "-days", "2", "-keyout", str(folder / "ca-key.pem"), "-out", ca],
        [*new, "/CN=127.0.0.1", "-keyout", key, "-out", asked],
        ["openssl", "x509", "-req", "-in", asked, "-CA", ca, "-CAkey", str(folder / "ca-key.pem"), "-out", signed],
    ):
        subprocess.run(command, check=True, capture_output=True)
    sides = {f"{side}.{what}": path for side in ("client", "scheduler", "worker") for what, path in CERTIFICATE}
    return {
        f"distributed.comm.{name}": str(value)
        for name, value in {
            "require-encryption": True,
            "tls.ca-file": ca,
            **{f"tls.{side}": str(folder / path) for side, path in sides.items()},
        }.items()
    }


@contextmanager
def dask_cluster(
    home: Path, workers: int = 2, threads: int = 1, configuration: dict[str, str] | None = None
) -> Iterator[DaskCluster]:
    """A scheduler and workers, each a process of its own, as ``dask scheduler`` and ``dask worker`` start them."""
    home.mkdir()
    where = home / "scheduler.json"
    scheme = "tls://" if configuration else ""
    common = ["--scheduler-file", str(where), "--no-dashboard", "--host", f"{scheme}127.0.0.1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, value in (configuration or {}).items():
        environment[f"DASK_{name.replace('.', '__').replace('-', '_').upper()}"] = value
    started: list[subprocess.Popen[bytes]] = []

    def start(module: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *common, *options]
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment, start_new_session=True))

    try:
        start("dask_scheduler", "--port", "0")
        while not where.exists():
            time.sleep(0.1)
            assert started[0].poll() is None, "the scheduler did not start"
        for _ in range(workers):
            start("dask_worker", "--nthreads", str(threads), "--local-directory", str(home))
        address = json.loads(where.read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            if workers:
                client.wait_for_workers(workers, timeout=120)
            at_work = list(client.run(os.getpid).values())
        yield DaskCluster(address, started[0], at_work)
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
