"""One device during one command: which bundle it gets, where that lies there, and what its runner is asked.

In come a connection, a bundle's folder and the folder of results; out come the answers of commands there, each of which
is a stranger's. A folder there is ours when our marker lies in it, and we put it only into what we made or found empty:
what has none is never written to or removed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pulseproof.bench.devices.connection import ANSWER_BYTES, Connection
from pulseproof.bench.devices.part import make_part
from pulseproof.bench.devices.spec import DeviceSpec
from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import BundleHead, plain
from pulseproof.core.errors import InputError

MARKER = "pulseproof.folder"  # lies in a folder that we made, and may remove
LOOKING = "looking at it"
HASHED_BYTES_PER_S = 1 << 20  # by the slowest device; it may hold more than this bundle
# Makes the folder $1 ours by the marker $2, or tells that it is somebody else's. Then the rest of the script.
OURS, FOREIGN = "ours", "foreign"
CLAIM = f"""
if test -h "$1"; then echo {FOREIGN}; exit 0; fi
if test -e "$1" && ! test -f "$1/$2"; then
    there=$(ls -A -- "$1") && test -z "$there" || {{ echo {FOREIGN}; exit 0; }}
fi
mkdir -p -- "$1" && : >> "$1/$2" || exit 1
"""


@dataclass
class Session:
    """One device during one command. ``home`` is the folder of this study there."""

    connection: Connection
    whole: Path  # the study's bundle; ``bundle`` is the part of it that this device gets
    results: Path
    bundle: Path = field(init=False)
    limit: int | None = field(init=False)
    python: str = field(init=False)
    folder: str = field(init=False)
    head: BundleHead = field(init=False)

    def __post_init__(self) -> None:
        head = read_bundle(self.whole).head
        self.bundle = make_part(
            self.whole, self.whole.parent / "parts" / self.device.name, self.device.asked(), head.device
        )
        self.head = read_bundle(self.bundle).head
        self.limit = self.device.limit or head.device.records
        self.python = self.device.python
        self.folder = self.device.folder

    @property
    def device(self) -> DeviceSpec:
        return self.connection.device

    @property
    def home(self) -> str:
        return f"{self.folder}/{self.head.study}"

    @property
    def venv(self) -> str:
        """Where --setup puts a virtual environment; all studies there share it."""
        return f"{self.folder}/venv"

    @property
    def venv_python(self) -> str:
        return f"{self.venv}/bin/python"

    @property
    def size_bytes(self) -> int:
        """The bundle's."""
        return sum(entry.size_bytes for entry in self.head.files.values())

    @property
    def hashing_s(self) -> float:
        """How long the device may be silent while it hashes what it has."""
        return self.connection.silence_s + self.size_bytes / HASHED_BYTES_PER_S

    def runner(self, *arguments: str) -> list[str]:
        """A command of the runner there."""
        return [self.python, f"{self.home}/bundle/runner.pyz", *arguments]

    def settle(self) -> None:
        """Put the home folder there in the place of a ``~`` in front of a path. The device is asked for it: no shell
        there reads our paths."""
        if not any(path.startswith("~") for path in (self.python, self.folder)):
            return
        home = self.ask(["sh", "-c", 'printf "%s" "$HOME"'], b"", LOOKING).decode("utf-8", "replace")
        if not home.startswith("/") or not home.isprintable() or len(home) > 300:
            raise InputError(
                f"{self.device.address}: {LOOKING}: its home folder cannot be ({plain(home)[:80]!r})",
                "write python and folder of the device without '~'",
            )
        self.python, self.folder = (
            home.rstrip("/") + path[1:] if path.startswith("~") else path for path in (self.python, self.folder)
        )

    def ask(
        self, arguments: list[str], given: bytes, step: str, most: int = ANSWER_BYTES, within_s: float | None = None
    ) -> bytes:
        """What a command there prints. Raises InputError with what it says when it ends badly."""
        answer = self.connection.patiently(lambda: self.connection.run(arguments, step, given, most, within_s), step)
        self.expect_well(step, answer.status, answer.said)
        return answer.out

    def expect_well(self, step: str, status: int, said: str) -> None:
        """Raise InputError when a command there ended badly."""
        if status != 0:
            raise InputError(
                f"{self.device.address}: {step}: {said or f'ended with status {status}'}",
                "mend it there; the same command goes on from here",
            )

    def odd(self, step: str, answer: bytes, expected: str) -> InputError:
        """For an answer that is not what we asked for."""
        return InputError(
            f"{self.device.address}: {step}: it answers {plain(answer[:200].decode('utf-8', 'replace'))[:60]!r}, "
            f"expected {expected}",
            "that is no device as we know them: look at it",
        )

    def claim(self, place: str, script: str, given: bytes, step: str) -> None:
        """Make the folder ``place`` there ours and go on with a shell script, in which it is ``$1``. Raises InputError
        for a folder that is somebody else's."""
        arguments = ["sh", "-c", f"{CLAIM}{script}\necho {OURS}", "sh", place, MARKER]
        said = self.ask(arguments, given, step).strip()
        if said == FOREIGN.encode():
            raise InputError(
                f"{self.device.address}: {place} there is not empty, and not ours: it has no {MARKER}",
                "name another folder for the device in devices.toml (folder = ...), or move that one away",
            )
        if said != OURS.encode():
            raise self.odd(step, said, repr(OURS))
