"""A real HTTP server on this machine that misbehaves by script, and a small tree in PhysioNet's layout for it.

The server holds files and, a path, a list of deeds it does in turn (drop the connection, answer 503, send wrong bytes
...) before it behaves. It logs every request, so a test can ask what went over the wire.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pulseproof.ecg.download import MEMO, SUMS
from pulseproof.ecg.transfer import CHUNK

LONG = 5 * CHUNK + 17  # long enough to break off in the middle
FAST: dict[str, Any] = {"backoff_s": 0.01, "timeout_s": 20.0, "workers": 3}


@dataclass
class Tree:
    """What the server serves (``files``), how it misbehaves (``deeds`` by path) and what it was asked (``log``)."""

    files: dict[str, bytes] = field(default_factory=dict)
    deeds: dict[str, list[Callable[[Handler, bytes], None]]] = field(default_factory=dict)
    log: list[tuple[str, str | None]] = field(default_factory=list)
    connections: int = 0
    ranges: bool = True
    address: str = ""
    gate: threading.Event = field(default_factory=threading.Event)

    def asked(self, end: str) -> list[str | None]:
        """The Range headers of the requests for the path that ends so, in order."""
        return [asked for path, asked in self.log if path.endswith(end)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body are 40 ms apart
    tree: Tree

    def setup(self) -> None:
        self.tree.connections += 1
        super().setup()

    def do_GET(self) -> None:
        self.tree.log.append((self.path, self.headers.get("Range")))
        path = self.path.lstrip("/")
        deeds = self.tree.deeds.get(path, [])
        body = self.tree.files.get(path)
        if deeds:
            deeds.pop(0)(self, body or b"")
        elif body is None:
            self.answer(404, b"no such file")
        else:
            self.behave(body)

    def behave(self, body: bytes) -> None:
        asked = self.headers.get("Range")
        if not asked or not self.tree.ranges:
            self.answer(200, body)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        if first >= len(body):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        else:
            self.answer(206, body[first:], {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def drop(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: object) -> None:
        pass


Deed = Callable[[Handler, bytes], None]


def status(code: int, **headers: str) -> Deed:
    return lambda handler, body: handler.answer(code, b"sorry", {k.replace("_", "-"): v for k, v in headers.items()})


def redirect(to: str) -> Deed:
    return lambda handler, body: handler.answer(302, b"", {"Location": to})


def wrong_bytes(handler: Handler, body: bytes) -> None:
    handler.answer(200, bytes([body[0] ^ 1]) + body[1:])


def break_off(handler: Handler, body: bytes) -> None:
    """Announce all of it, send three chunks and a bit, close."""
    handler.answer(200, body[: 3 * CHUNK + 100], length=len(body))
    handler.drop()


def break_off_silently(handler: Handler, body: bytes) -> None:
    """An old server: no Content-Length, the end of the connection is the end of the file."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body[:100])
    handler.drop()


def hang_up(handler: Handler, body: bytes) -> None:
    handler.drop()


def other_range(handler: Handler, body: bytes) -> None:
    handler.answer(206, body[7:], {"Content-Range": f"bytes 7-{len(body) - 1}/{len(body)}"})


def trickle(handler: Handler, body: bytes) -> None:
    """Send two chunks, then nothing until the test opens the gate."""
    with contextlib.suppress(OSError):
        handler.answer(200, body[: 2 * CHUNK], length=len(body))
        handler.tree.gate.wait(60)
        handler.drop()


def silence(handler: Handler, body: bytes) -> None:
    handler.tree.gate.wait(60)


def long_redirect(handler: Handler, body: bytes) -> None:
    """A redirect to a file that is not there, with a body that never ends: a client must not read it."""
    with contextlib.suppress(OSError):
        handler.answer(302, b"moved", {"Location": "/nowhere"}, length=10**12)
        handler.tree.gate.wait(60)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def sums_of(files: dict[str, bytes], root: str) -> bytes:
    """PhysioNet's own form: hash, one space, path; without the list itself."""
    lines = [
        f"{hashlib.sha256(body).hexdigest()} {path.removeprefix(root)}"
        for path, body in files.items()
        if path.startswith(root)
    ]
    return ("\n".join(lines) + "\n").encode()


PTB, MIT, NST = "ptb-xl/1.0.3/", "mitdb/1.0.0/", "nstdb/1.0.0/"
DAT = "records100/00000/00001_lr.dat"
WANTED = {
    PTB + "ptbxl_database.csv": noise(1, 3000),
    PTB + "scp_statements.csv": noise(2, 300),
    PTB + "LICENSE.txt": b"CC BY 4.0\n",
    PTB + DAT: noise(3, LONG),
    PTB + "records100/00000/00001_lr.hea": noise(4, 200),
    PTB + "records100/21000/21837_lr.dat": noise(5, 24000),
    PTB + "records100/21000/21837_lr.hea": noise(6, 200),
    MIT + "100.dat": noise(10, LONG),
    MIT + "100.hea": noise(11, 100),
    MIT + "100.atr": noise(12, 4000),
    MIT + "RECORDS": b"100\n",
    MIT + "ANNOTATORS": b"atr\tbeats\n",
    **{f"{NST}{name}.{end}": noise(i, 900) for i, name in enumerate(("bw", "em", "ma")) for end in ("dat", "hea")},
}
UNWANTED = {
    PTB + "records500/00000/00001_hr.dat": b"500 Hz",
    PTB + "example_physionet.py": b"print()",
    PTB + "RECORDS": b"records500/00000/00001_hr\n",
    MIT + "102-0.atr": b"old",
    MIT + "108.at_": b"old",
    MIT + "100.xws": b"xws",
    MIT + "x_mitdb/x_108.dat": b"other",
    NST + "118e24.dat": b"noisy",
}


@contextlib.contextmanager
def serving() -> Iterator[Tree]:
    """The tree of all three databases, served."""
    tree = Tree(files=WANTED | UNWANTED)
    for root in (PTB, MIT, NST):
        tree.files[root + SUMS] = sums_of(tree.files, root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"tree": tree}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that was killed
    tree.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield tree
    finally:
        tree.gate.set()
        server.shutdown()
        server.server_close()


def expected(tree: Tree, root: str, *without: str) -> dict[str, bytes]:
    """The folder as it must be: the wanted files and the list, byte for byte."""
    here = {path.removeprefix(root): body for path, body in WANTED.items() if path.startswith(root)}
    return {path: body for path, body in here.items() if path not in without} | {SUMS: tree.files[root + SUMS]}


def found(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the memory of what was verified."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MEMO
    }


def final(folder: Path) -> dict[str, bytes]:
    return {name: body for name, body in found(folder).items() if not name.endswith((".partial", ".set-aside"))}
