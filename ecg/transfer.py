"""One file over HTTP: resumed where it stopped, tried again when the network fails, published when its hash is right.

In come a URL, the place the file shall have and the SHA-256 it must have; out comes the whole file at that place, or
an exception and nothing there. What has arrived lies beside it as ``<name>.partial``, and the next attempt, or the next
process after a kill, asks only for the rest (HTTP Range, RFC 9110 section 14). :mod:`ecg.download` says what is wanted.

``requests`` brings kept-alive connections, certificates and the proxy settings of the environment. Retries are done
here and not by its adapter, which cannot go on in the middle of a body.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urljoin, urlsplit

import requests

from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.words import LONGEST, shortened

T = TypeVar("T")
CHUNK = 1 << 15
MAX_FILE_BYTES = 64 << 20  # the largest one wanted, a list or a table, is below 10 MB
MAX_REDIRECTS = 5
MAX_WAIT_S = 120.0
PASSING = (408, 425, 429)  # statuses that ask to come again, like every 5xx


@dataclass(frozen=True)
class Retry:
    """How long to keep trying one file.

    ``attempts`` in a row may fail without bringing the file forward; before the n-th new one is a pause of
    ``backoff_s`` * 2^(n-1) s (less a random part, so that the workers do not return all at once), or what the server
    asks for by Retry-After, at most ``MAX_WAIT_S``. ``timeout_s`` is the longest silence on a connection; twice as long
    may the head of an answer take, and then each ``CHUNK`` of its body: a server that sends a byte now and then is
    never silent.
    """

    attempts: int = 5
    timeout_s: float = 30.0
    backoff_s: float = 1.0


class TransferError(Exception):
    """A file could not be fetched. ``unreachable``: the network or the server failed, so the next file may as well."""

    def __init__(self, reason: str, unreachable: bool = False) -> None:
        super().__init__(shortened(reason, LONGEST))
        self.unreachable = unreachable


class KeptSession(requests.Session):
    """Kept-alive connections of one worker thread, without cookies, and redirects left to :func:`_get`.

    requests looks at a redirect even when told not to follow it: it reads its body to the end, however long, and fails
    with ValueError on some addresses.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class StoppedError(Exception):
    """The caller set the stop event."""


class _PassingError(Exception):
    """This attempt failed, the next may not. ``wait_s``: the pause that the server asked for, 0 for none."""

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def partial_path(target: Path) -> Path:
    """Where the beginning of ``target`` lies until all of it has arrived."""
    return target.with_name(target.name + ".partial")


def fetch(session: KeptSession, url: str, target: Path, sha256: str, retry: Retry, stop: threading.Event) -> None:
    """Fetch ``url`` to ``target`` and check it against ``sha256`` (hexadecimal).

    A complete file with a wrong hash is deleted and fetched once more from zero. Raises TransferError, StoppedError,
    and OSError of the local disk; in each case ``target`` is left as it was.
    """
    partial = partial_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        receive(session, url, partial, retry, stop)
        if sha256_file(partial) == sha256:
            if stop.is_set():
                raise StoppedError
            publish(partial, target)
            return
        partial.unlink()
    raise TransferError("wrong SHA-256, also when fetched anew")


def publish(partial: Path, target: Path) -> None:
    """Flush a complete file to the disk and rename it to its final name."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def receive(session: KeptSession, url: str, partial: Path, retry: Retry, stop: threading.Event) -> None:
    """Bring ``partial`` to its full length, unchecked. Raises as :func:`fetch` does; what arrived stays."""
    failures, furthest = 0, _size(partial)
    while True:
        if stop.is_set():
            raise StoppedError
        try:
            return _attempt(session, url, partial, retry.timeout_s, stop)
        except _PassingError as problem:
            # An attempt that got further than any before is not a failed one, else a long file never comes over a
            # connection that drops every few megabytes. The size is bounded, so this ends.
            size = _size(partial)
            if size >= furthest + CHUNK:
                failures, furthest = 0, size
            failures += 1
            if failures >= retry.attempts:
                raise TransferError(f"{problem}; {failures} attempts", unreachable=True) from None
            if stop.wait(_pause_s(failures, problem.wait_s, retry.backoff_s)):
                raise StoppedError from None


def _attempt(session: KeptSession, url: str, partial: Path, timeout_s: float, stop: threading.Event) -> None:
    """One request for what is missing of ``partial``, and its answer to the end."""
    have = _size(partial)
    headers = {"Accept-Encoding": "identity"}  # ranges and lengths count the bytes of the file
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with _get(session, url, headers, timeout_s) as response:
            if have and response.status_code == 416:
                return  # nothing is left to send: the hash tells whether this is the file
            _check_status(response)
            if response.status_code == 206:
                if _range_start(response.headers) != have:
                    partial.unlink(missing_ok=True)
                    raise _PassingError("the server sent another range than asked for")
                _save(response, partial, "ab", have, 2 * timeout_s, stop)
            else:
                _save(response, partial, "wb", 0, 2 * timeout_s, stop)
    except requests.Timeout:
        raise _PassingError(f"no answer for {timeout_s:g} s") from None
    except (requests.RequestException, ValueError) as error:  # ValueError: of urllib3, about what no answer may hold
        raise _PassingError(_innermost(error)) from None


def _get(session: KeptSession, url: str, headers: Mapping[str, str], timeout_s: float) -> requests.Response:
    """GET, following a few redirects, never to another scheme than HTTP nor away from TLS."""
    asked: dict[str, Any] = {"headers": headers, "stream": True, "timeout": timeout_s, "allow_redirects": False}
    for _ in range(MAX_REDIRECTS + 1):
        response = _within(2 * timeout_s, lambda at: session.get(at, **asked), url)
        if not response.is_redirect:
            return response
        response.close()
        try:
            there = urljoin(url, response.headers["Location"])
            scheme = urlsplit(there).scheme
        except ValueError:
            raise TransferError(f"redirected to {response.headers['Location']!r}, which is not an address") from None
        if scheme != "https" and not (scheme == "http" and urlsplit(url).scheme == "http"):
            raise TransferError(f"redirected to {there}, which is refused: not {urlsplit(url).scheme}")
        url = there
    raise TransferError(f"more than {MAX_REDIRECTS} redirects")


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status in PASSING or status >= 500:
        raise _PassingError(f"HTTP {status} {response.reason}", _retry_after_s(response.headers.get("Retry-After", "")))
    asked_range = "Range" in response.request.headers
    if status != 200 and not (status == 206 and asked_range):
        raise TransferError(f"HTTP {status} {response.reason}")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise TransferError(f"sent in the encoding {encoding!r}, which was not asked for")


def _save(
    response: requests.Response, partial: Path, mode: str, have: int, limit_s: float, stop: threading.Event
) -> None:
    pieces = response.iter_content(CHUNK)  # shorter ones where the server sends shorter ones
    wanted, ends = have + CHUNK, time.monotonic() + limit_s
    with partial.open(mode) as file:
        while True:
            try:
                piece = _within(ends - time.monotonic(), next, pieces, b"")
            except _PassingError:
                with contextlib.suppress(ValueError, RuntimeError):  # it ended just now
                    response.raw.shutdown()  # else closing it waits for the one who reads
                raise _PassingError(f"too slow: less than {CHUNK:,} bytes in {limit_s:g} s") from None
            if not piece:
                break
            if have + len(piece) >= wanted:
                wanted, ends = have + len(piece) + CHUNK, time.monotonic() + limit_s
            if stop.is_set():
                raise StoppedError
            have += len(piece)
            if have > MAX_FILE_BYTES:
                break
            file.write(piece)
    if have > MAX_FILE_BYTES:
        partial.unlink()
        raise TransferError(f"larger than {MAX_FILE_BYTES} bytes")


def _within(limit_s: float, call: Callable[..., T], *arguments: Any) -> T:
    """What the call returns or raises; _PassingError when it takes longer. It then goes on in its thread until the
    other side ends: nothing in a socket's own time-out bounds a whole answer."""
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            ended.put((call(*arguments), None))
        except BaseException as error:
            ended.put((None, error))

    threading.Thread(target=work, daemon=True).start()
    try:
        value, error = ended.get(timeout=max(0.0, limit_s))
    except queue.Empty:
        raise _PassingError(f"no whole answer in {limit_s:g} s") from None
    if error is not None:
        raise error
    return cast(T, value)


def _range_start(headers: Mapping[str, str]) -> int | None:
    """First byte of a 206 answer, from ``Content-Range: bytes first-last/length``; None when it does not say."""
    match = re.match(r"bytes ([0-9]{1,18})-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _retry_after_s(text: str) -> float:
    """Seconds of a Retry-After header (a number or a date, RFC 9110 section 10.2.3); 0 when there is none."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _pause_s(failures: int, asked_s: float, backoff_s: float) -> float:
    """Seconds to wait after the ``failures``-th failure: what the server asked for, if that is longer than ours."""
    return min(MAX_WAIT_S, max(asked_s, backoff_s * 2.0 ** (failures - 1) * random.uniform(0.5, 1.0)))


def _innermost(error: BaseException) -> str:
    """What went wrong in the words of the lowest layer; requests and urllib3 wrap it two or three times."""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    return str(error) or type(error).__name__


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
