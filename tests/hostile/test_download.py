"""The door of a download: a server that lies, drips, or never ends. Each file is had whole or told of in a sentence.

What drops, resumes and recovers is in ``tests/ecg/test_download.py``; here the server means harm. The other files
arrive, a good file keeps its place, nothing half-written has a name, and it takes as long as the time-out allows.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import random
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pulseproof.core.errors import InputError
from pulseproof.ecg import transfer
from pulseproof.ecg.download import SUMS, Summary, download
from pulseproof.ecg.transfer import CHUNK, KeptSession, Retry, TransferError, fetch
from tests.ecg.http_making import (
    MIT,
    WANTED,
    Deed,
    Handler,
    Tree,
    expected,
    final,
    found,
    redirect,
    serving,
    status,
    sums_of,
)

SETTINGS: dict[str, Any] = {"attempts": 2, "timeout_s": 0.3, "backoff_s": 0.01, "workers": 3}
LONGEST_S = 8.0  # two attempts of two silences each, for two workers that a drip holds, with room for a busy machine


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as tree:
        yield tree


def raw(*pieces: bytes, drop: bool = True) -> Deed:
    """Answer with these very bytes."""

    def deed(handler: Handler, body: bytes) -> None:
        for piece in pieces:
            handler.wfile.write(piece)
        if drop:
            handler.drop()

    return deed


def dripping(before: bytes, piece: bytes, pause_s: float = 0.05, most_s: float = 60.0) -> Deed:
    """Answer with ``before``, then with ``piece`` every now and then: a socket never sees a silence."""

    def deed(handler: Handler, body: bytes) -> None:
        ends = time.monotonic() + most_s
        with contextlib.suppress(OSError):
            handler.wfile.write(before)
            while time.monotonic() < ends and not handler.tree.gate.wait(pause_s):
                handler.wfile.write(piece)
        handler.drop()

    return deed


def without_end(before: bytes, piece: bytes) -> Deed:
    return dripping(before, piece, pause_s=0.0)


BOMB = gzip.compress(bytes(64 << 20), 1)  # grows more than two hundredfold when it is unpacked


def packed(encoding: str) -> Deed:
    def deed(handler: Handler, body: bytes) -> None:
        with contextlib.suppress(OSError):
            handler.answer(200, BOMB, {"Content-Encoding": encoding})

    return deed


def said_as_gzip(handler: Handler, body: bytes) -> None:
    handler.answer(200, body, {"Content-Encoding": "gzip"})


def announcing(length: str) -> Deed:
    def deed(handler: Handler, body: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: " + length.encode() + b"\r\n\r\n" + body)
        handler.drop()

    return deed


def too_little(handler: Handler, body: bytes) -> None:
    """Announce fewer bytes than are sent; what follows lies in the connection, where the next answer is looked for."""
    handler.answer(200, body, length=100)


def too_much(handler: Handler, body: bytes) -> None:
    handler.answer(200, body, length=len(body) + 5)
    handler.drop()


def another_file(handler: Handler, body: bytes) -> None:
    handler.answer(200, WANTED[MIT + "100.hea"])


def onwards(handler: Handler, body: bytes) -> None:
    """A redirect to another address each time."""
    there = f"{MIT}100.atr-{len(handler.tree.log)}"
    handler.tree.deeds[there] = [onwards]
    handler.answer(302, b"", {"Location": f"/{there}"})


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
DEEDS: dict[str, tuple[Deed, str]] = {
    "more bytes announced than sent": (too_much, "2 attempts"),
    "fewer bytes announced than sent": (too_little, "wrong SHA-256"),
    "two lengths": (announcing("4000, 17"), "attempts"),
    "nothing": (raw(), "2 attempts"),
    "no bytes": (status(200), "wrong SHA-256"),
    "half a status line": (raw(b"HTTP/1."), "2 attempts"),
    "another protocol": (raw(b"220 ftp ready\r\n"), "2 attempts"),
    "a status of no number": (raw(b"HTTP/1.1 ok\r\n\r\n"), "2 attempts"),
    "a status that is a command": (raw(b"HTTP/1.1 404 \x1b]0;owned\x07\x9b31m\r\n\r\n"), "HTTP 404"),
    "a reason of 60,000 letters": (raw(b"HTTP/1.1 404 " + b"x" * 60_000 + b"\r\n\r\n"), "HTTP 404"),
    "headers without end": (without_end(OK, b"X-A: b\r\n"), "2 attempts"),
    "a header of a megabyte": (raw(OK + b"X-A: " + b"b" * (1 << 20) + b"\r\n\r\n"), "2 attempts"),
    "headers that drip": (dripping(OK, b"X"), "2 attempts"),
    "a status line that drips": (dripping(b"HTTP/1.1 200 ", b"O"), "2 attempts"),
    "only ever a continue": (without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "2 attempts"),
    "a body that drips": (dripping(OK + b"Content-Length: 4000\r\n\r\n", b"x"), "2 attempts"),
    "a body that drips, of no said length": (dripping(OK + b"\r\n", b"x"), "2 attempts"),
    "pieces that drip": (dripping(CHUNKED, b"1\r\nx\r\n"), "2 attempts"),
    "a piece of 16 exabytes": (raw(CHUNKED + b"FFFFFFFFFFFFFFFF\r\n" + b"x" * 1000), "attempts"),
    "a piece of less than nothing": (raw(CHUNKED + b"-5\r\nxxxxx\r\n0\r\n\r\n"), "attempts|wrong SHA-256"),
    "a piece of no number": (raw(CHUNKED + b"zz\r\nxxxxx\r\n0\r\n\r\n"), "2 attempts"),
    "a body without end": (without_end(OK + b"\r\n", b"x" * CHUNK), "larger than"),
    "pieces without end": (without_end(CHUNKED, b"8000\r\n" + b"x" * CHUNK + b"\r\n"), "larger than"),
    "a bomb of gzip": (packed("gzip"), "gzip"),
    "a bomb in a bomb": (packed("gzip, gzip, gzip"), "gzip"),
    "gzip that is none": (said_as_gzip, "gzip"),
    "an encoding that nobody has": (packed("\x1b[2J"), "which was not asked for"),
    "another file": (another_file, "wrong SHA-256"),
    "redirects without end": (onwards, "more than 5 redirects"),
    "a redirect to a file": (redirect("file:///etc/passwd"), "which is refused"),
    "a redirect to data": (redirect("data:text/plain,x"), "which is refused"),
    "a redirect to a socket": (redirect("unix:///run/x.sock"), "which is refused"),
    "a redirect that is a command": (redirect("file:///\x1b]0;x\x07"), "which is refused"),
    "a redirect to a port that is none": (redirect("http://127.0.0.1:99999999/x"), "attempts|address"),
    "a redirect to a host that is none": (redirect("http://\udcff\udcfe/x"), "attempts|address"),
    "a redirect of 60,000 letters": (redirect("file:///" + "x" * 60_000), "which is refused"),
    "a redirect to nowhere": (raw(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), "HTTP 302"),
    "500 without end": (without_end(b"HTTP/1.1 500 Oops\r\n\r\n", b"x" * CHUNK), "HTTP 500 Oops; 2 attempts"),
    "cookies": (
        raw(
            b"HTTP/1.1 404 No\r\n"
            + b"".join(b"Set-Cookie: a%d=%s\r\n" % (at, b"b" * 9000) for at in range(90))
            + b"\r\n"
        ),
        "HTTP 404",
    ),
}


@contextlib.contextmanager
def bounded(longest_s: float = LONGEST_S) -> Iterator[None]:
    """In bounded time and memory, whatever happens."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        yield
    finally:
        spent, peak = time.monotonic() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert spent < longest_s
    assert peak < 64 << 20


def expect_sentence(error: InputError) -> None:
    for text in (error.what, error.mend):
        assert text.replace("\n", "").isprintable()
    assert len(error.what) < 2500


@pytest.mark.parametrize("name", DEEDS)
def test_a_server_that_means_harm(name: str, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1 << 20)
    deed, said = DEEDS[name]
    tree.deeds[MIT + "100.atr"] = [deed] * 100
    with bounded(), pytest.raises(InputError, match=said) as refused:
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    expect_sentence(refused.value)
    assert "1 of 5 files are missing" in refused.value.what and "100.atr: " in refused.value.what
    assert final(tmp_path / "mitdb") == expected(tree, MIT, "100.atr")  # the others are whole, this one is not there
    tree.deeds.clear()
    assert download("mitdb", tmp_path, base_url=tree.address, **SETTINGS) == Summary(1, 4, 4000)
    assert final(tmp_path / "mitdb") == expected(tree, MIT)


def listed(tree: Tree, path: str) -> bytes:
    return tree.files[MIT + SUMS] + f"{'a' * 64} {path}\n".encode()


def swapped(tree: Tree) -> bytes:
    """Each file has the hash of the one before it."""
    lines = [line.split(" ", 1) for line in tree.files[MIT + SUMS].decode().splitlines()]
    return "".join(f"{lines[at - 1][0]} {lines[at][1]}\n" for at in range(len(lines))).encode()


@pytest.mark.parametrize("length", ["-5", "many", "9" * 5000, "\x1b[2J"])
def test_a_length_that_is_none_is_no_length(length: str, tree: Tree, tmp_path: Path) -> None:
    """The connection's end is the file's, and the hash tells whether it is whole."""
    tree.deeds[MIT + "100.atr"] = [announcing(length)]
    with bounded():
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    assert final(tmp_path / "mitdb") == expected(tree, MIT)


def test_cookies_are_not_kept(tree: Tree, tmp_path: Path) -> None:
    """Sent back, those of one answer would spoil every request of the same worker."""
    tree.deeds[MIT + "100.atr"] = [DEEDS["cookies"][0]]
    with pytest.raises(InputError, match="1 of 5 files are missing"):
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS | {"workers": 1})
    assert final(tmp_path / "mitdb") == expected(tree, MIT, "100.atr")


LISTS: dict[str, tuple[Callable[[Tree], bytes | Deed], str]] = {
    "other files' hashes": (swapped, "wrong SHA-256"),
    "a path that climbs": (lambda tree: listed(tree, "../evil"), "which is refused"),
    "an absolute path": (lambda tree: listed(tree, "/etc/evil"), "which is refused"),
    "a path that is a command": (lambda tree: listed(tree, "100\x1b[2J.dat"), "which is refused"),
    "a path that runs the other way": (lambda tree: listed(tree, "100\u202e.dat"), "which is refused"),
    "a path of 100,000 letters": (lambda tree: listed(tree, "x/" * 50_000 + "y/.."), "which is refused"),
    "a list of a drip": (lambda tree: dripping(OK + b"\r\n", b"a"), "2 attempts"),
    "a list whose headers drip": (lambda tree: dripping(OK, b"a"), "2 attempts"),
    "a list without end": (lambda tree: without_end(OK + b"\r\n", b"a" * CHUNK), "larger than"),
    "a list that is a bomb": (lambda tree: packed("gzip"), "gzip"),
    "half a list": (lambda tree: tree.files[MIT + SUMS][:-70], "is not|does not list"),
    "no list but a page": (lambda tree: b"<html>\x1b[2J</html>", "is not"),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_means_harm(name: str, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched by it; with hashes of other files nothing gets a name."""
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1 << 20)
    make, said = LISTS[name]
    lie = make(tree)
    if isinstance(lie, bytes):
        tree.files[MIT + SUMS] = lie
    else:
        tree.deeds[MIT + SUMS] = [lie] * 100
    with bounded(), pytest.raises(InputError, match=said) as refused:
        download("mitdb", tmp_path / "data", base_url=tree.address, **SETTINGS)
    expect_sentence(refused.value)
    assert set(final(tmp_path)) <= {f"data/mitdb/{SUMS}"}


@pytest.mark.parametrize("name", [name for name in LISTS if name != "other files' hashes"])
def test_a_good_database_outlives_a_bad_list(
    name: str, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1 << 20)
    download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    before = found(tmp_path / "mitdb")
    lie = LISTS[name][0](tree)
    if isinstance(lie, bytes):
        tree.files[MIT + SUMS] = lie
    else:
        tree.deeds[MIT + SUMS] = [lie] * 100
    with bounded(), pytest.raises(InputError):
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    after = found(tmp_path / "mitdb")
    assert {path: body for path, body in after.items() if not path.endswith(".partial")} == before


def test_wrong_hashes_destroy_nothing(tree: Tree, tmp_path: Path) -> None:
    """A list with other files' hashes: what was good is set aside under its name, byte for byte, and comes back with
    the right list."""
    download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    right, tree.files[MIT + SUMS] = tree.files[MIT + SUMS], swapped(tree)
    with pytest.raises(InputError, match="wrong SHA-256"):
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    kept = {path.name.removesuffix(".set-aside"): path.read_bytes() for path in tmp_path.rglob("*.set-aside")}
    good = {path.removeprefix(MIT): body for path, body in WANTED.items() if path.startswith(MIT)}
    assert kept.items() <= good.items() and kept
    tree.files[MIT + SUMS] = right
    download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    assert final(tmp_path / "mitdb") == expected(tree, MIT)


@pytest.mark.slow
def test_every_file_drips(tree: Tree, tmp_path: Path) -> None:
    """A server that is all drip: it is given up, not waited for file by file."""
    names = [f"{number:03}.dat" for number in range(200, 300)]
    for name in names:
        tree.files[MIT + name] = b"x"
        tree.deeds[MIT + name] = [dripping(OK + b"\r\n", b"x")] * 100
    tree.files[MIT + SUMS] = sums_of(WANTED | dict.fromkeys((MIT + name for name in names), b"x"), MIT)
    with bounded(60.0), pytest.raises(InputError, match="files are missing") as refused:
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    expect_sentence(refused.value)


def test_a_slow_server_that_is_honest_is_waited_for(tree: Tree, tmp_path: Path) -> None:
    """Pieces with a pause below the time-out: slow, and above the least rate."""

    def slowly(handler: Handler, body: bytes) -> None:
        handler.wfile.write(OK + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for at in range(0, len(body), CHUNK // 2):
            handler.wfile.write(body[at : at + CHUNK // 2])
            time.sleep(0.1)

    tree.deeds[MIT + "100.dat"] = [slowly]
    download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    assert found(tmp_path / "mitdb") == expected(tree, MIT)
    assert len(tree.asked("100.dat")) == 1


def test_an_abandoned_transfer_holds_no_thread_for_long(tree: Tree, tmp_path: Path) -> None:
    """Those who waited for a drip are gone when it ends."""
    tree.deeds[MIT + "100.atr"] = [dripping(OK + b"\r\n", b"x")] * 100
    before = threading.active_count()
    with pytest.raises(InputError):
        download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    tree.gate.set()
    ends = time.monotonic() + 10
    while threading.active_count() > before + 1 and time.monotonic() < ends:  # the server may still have one
        time.sleep(0.05)
    assert threading.active_count() <= before + 1


def test_the_hash_is_of_the_bytes_that_have_the_name(tree: Tree, tmp_path: Path) -> None:
    """Right in the first half, wrong in the resumed rest: the whole is hashed, not the pieces."""
    body = WANTED[MIT + "100.dat"]

    def half(handler: Handler, _: bytes) -> None:
        handler.answer(200, body[: 3 * CHUNK], length=len(body))
        handler.drop()

    def wrong_rest(handler: Handler, _: bytes) -> None:
        first = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        handler.answer(206, bytes(len(body) - first), {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})

    tree.deeds[MIT + "100.dat"] = [half, wrong_rest]
    download("mitdb", tmp_path, base_url=tree.address, **SETTINGS)
    assert hashlib.sha256((tmp_path / "mitdb" / "100.dat").read_bytes()).digest() == hashlib.sha256(body).digest()


def garbled(whole: bytes, rng: random.Random) -> bytes:
    """An answer after one to three damages, most of them of its head."""
    damaged = bytearray(whole)
    head = whole.index(b"\r\n\r\n") + 4
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(head, len(damaged))) if rng.random() < 0.8 else rng.randrange(len(damaged))
        how = rng.randrange(5)
        if how == 0:
            damaged[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del damaged[at : at + rng.randint(1, 60)]
        elif how == 2:
            damaged[at:at] = rng.randbytes(rng.randint(1, 60))
        elif how == 3:
            damaged[at:at] = rng.choice(
                [b"\r\n", b"\n\n", b"\r\n\r\n", b"\0", b": ", b"chunked", b"9" * 60, b"-", b"\x1b[2J"]
            )
        else:
            damaged[at:at] = damaged[: rng.randint(1, head)]
        if len(damaged) < 2:
            break
    return bytes(damaged)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(10))
def test_thirty_random_answers(block: int, tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By seed: the file is right or not there, and what is wrong is one kind of error."""
    monkeypatch.setattr(transfer, "MAX_FILE_BYTES", 1 << 20)
    body = WANTED[MIT + "100.atr"]
    answers = (
        OK + b"Content-Length: 4000\r\nContent-Type: x/y\r\nConnection: close\r\n\r\n" + body,
        CHUNKED + b"".join(b"%x\r\n%s\r\n" % (500, body[at : at + 500]) for at in range(0, 4000, 500)) + b"0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /mitdb/1.0.0/100.hea\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\nno",
    )
    arrived = 0
    for seed in range(30 * block, 30 * (block + 1)):
        rng = random.Random(seed)
        tree.deeds[MIT + "100.atr"] = [raw(garbled(rng.choice(answers), rng)) for _ in range(100)]
        target = tmp_path / str(seed) / "100.atr"
        retry = Retry(attempts=2, timeout_s=0.3, backoff_s=0.001)
        with bounded(), KeptSession() as session:
            try:
                address = f"{tree.address}{MIT}100.atr"
                fetch(session, address, target, hashlib.sha256(body).hexdigest(), retry, threading.Event())
                arrived += 1
            except TransferError as error:
                assert len(str(error)) < 350
        assert not target.exists() or target.read_bytes() == body
    assert arrived < 30
