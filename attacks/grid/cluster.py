"""A Dask cluster as a place where the tasks of the grid run.

In: the address of a scheduler. Out: a pool as :mod:`attacks.grid.pools` drives it. Tasks write their files themselves,
so the workers must see the build folder; that they do, and that what decides the bytes is the same there, is checked
first.

Dask's processes exchange pickles: whoever can speak to the scheduler can run code on its workers and here. A cluster
is therefore trusted; Dask's own configuration (``distributed.comm.tls``) closes it to those without a certificate.
"""

from __future__ import annotations

import concurrent.futures
import importlib.metadata
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pulseproof.attacks.grid.tasks import NotMade, SetJob, run_task
from pulseproof.core.code_digest import Code
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say

CONNECT_S = 30  # to reach the scheduler, at first and again
LOOK_S = 5  # between looks at the connection while a task runs


def versions() -> dict[str, str]:
    """What must be the same wherever a task runs, for its bytes to be the same."""
    return {name: importlib.metadata.version(name) for name in ("pulseproof", "torch", "numpy")}


def check_worker(token: Path, expected: dict[str, str], codes: Sequence[Code] = ()) -> str | None:
    """What is wrong with a worker that is to write beside ``token``, with these :func:`versions` and this code; or
    None."""
    if not token.exists():
        return f"it does not see {token.parent}"
    here = versions()
    other = [f"{name} {here[name]}, not {version}" for name, version in expected.items() if here[name] != version]
    if other:
        return f"it has {', '.join(other)}"
    try:
        for code in codes:
            code.check("it has other code")
    except (InputError, ValueError) as error:  # a module that is not there at all
        return str(error)
    return None


class Cluster:
    """A Dask cluster. Its workers must have Pulseproof installed and see the same build folder, under the same path.

    A worker that dies is Dask's affair: it runs the task elsewhere, and only gives up after some such deaths.
    """

    def __init__(self, address: str, jobs: Sequence[SetJob]) -> None:
        import distributed

        self._address = address
        certified = distributed.Security().get_connection_args("client")["ssl_context"] is not None
        if address.startswith("tls://") and not certified:
            raise InputError(
                f"--scheduler {address}: it asks for a certificate, and Dask's configuration here names none",
                "set distributed.comm.tls.ca-file, .client.cert and .client.key, in ~/.config/dask or as "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on",
            )
        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__})",
                "start one (dask scheduler), and workers (dask worker --nthreads 1 ADDRESS)",
            ) from None
        try:
            self._check(jobs)
        except BaseException:
            self._client.close()
            raise
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        self.size = 2 * len(workers)  # one at work and one waiting
        if any(each["nthreads"] > 1 for each in workers):
            say("a Dask worker does one task at a time: more of them with --nthreads 1 would be faster")

    def _check(self, jobs: Sequence[SetJob]) -> None:
        folder = jobs[0].folder.parent
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f".{uuid.uuid4().hex}.token"
        token.touch()
        try:
            codes = list(dict.fromkeys(code for job in jobs for code in job.code))
            answers = self._client.run(check_worker, token, versions(), codes, on_error="return")
        finally:
            token.unlink()
        if not answers:
            raise InputError(f"--scheduler {self._address}: it has no workers", "dask worker --nthreads 1 ADDRESS")
        for worker, answer in answers.items():
            if answer is not None:
                raise InputError(
                    f"--scheduler {self._address}: worker {worker} cannot be used: {answer}",
                    "install the same Pulseproof there, start it again after an edit, and give it the build folder "
                    "under the same path",
                )

    def submit(self, job: SetJob, part: str) -> Any:
        with self._connected():
            return self._client.submit(run_task, job, part, pure=False)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        import distributed

        with self._connected(), self._client.as_current():
            while self._client.status not in ("closing", "closed"):  # a task given in between would never end
                try:
                    return list(distributed.wait(futures, timeout=LOOK_S, return_when="FIRST_COMPLETED").done)
                except distributed.TimeoutError:
                    pass
            raise concurrent.futures.CancelledError

    def lost(self, future: Any) -> bool:
        import distributed

        with self._connected():
            return isinstance(future.exception(), distributed.KilledWorker)

    def result(self, future: Any) -> NotMade | None:
        with self._connected():  # the worker has it, and it comes by way of the scheduler
            value: NotMade | None = future.result()
        return value

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """A scheduler that goes away shows as a cancelled future, a closed connection, or a client that gave up,
        whichever the client was at: one sentence for all of them."""
        from distributed.client import ClosedClientError
        from distributed.comm import CommClosedError

        try:
            yield
        except (concurrent.futures.CancelledError, CommClosedError, ClosedClientError):
            raise InputError(
                f"--scheduler {self._address}: the connection to the scheduler was lost",
                "start it again, or do without; the same command goes on from here",
            ) from None
