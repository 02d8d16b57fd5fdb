"""A run on a device over ssh: look at it, bring the bundle, start, follow, bring the results home.

In come a device, a bundle's folder and the folder of results; out go the device's results, each checked as a stranger's
before it is put in its place. Every step can be cut at any moment: the same command goes on from there, and a run that
was started goes on without us.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from pulseproof.bench.devices.arrivals import MOST_BYTES, accept, may_come, waiting_room
from pulseproof.bench.devices.connection import ANSWER_BYTES, Connection
from pulseproof.bench.devices.look import look
from pulseproof.bench.devices.session import Session
from pulseproof.bench.devices.spec import DeviceSpec
from pulseproof.bench.devices.talk import DroppedError, SilentError
from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import Wire, plain
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.runtime.detached import BEAT, LOST
from pulseproof.runtime.files import sha256_file
from pulseproof.runtime.wire import stream
from pulseproof.runtime.wire.untrusted import BundleError

ENTRY_BYTES = 512  # of a file in a list, or in what is said of it
LISTED_BYTES = 4 << 20  # of a list of files at least: what an older bundle left is in it, too
FOLLOWED_BYTES = 4 << 20  # of what a run says: some 100 bytes an artifact
LINE_BYTES = 1 << 12
TRIES = 3  # of a run that ends without a word


def run_on_device(
    device: DeviceSpec,
    bundle: Path,
    results: Path,
    say: Callable[[str], None],
    setup: bool = False,
    connection: Connection | None = None,
) -> None:
    """Run a bundle on a device and bring its results to ``results/<device>/``.

    ``setup``: make a virtual environment there when numpy or an engine is missing. Raises InputError when the device
    cannot be reached or used, NotHeldError when artifacts failed there.
    """
    session = Session(connection or Connection(device, say), bundle, results)
    look(session, say, setup)
    bring(session, say)
    status = run(session, say)
    count = fetch(session, say)
    say(f"{count} files are new here, in {results / device.name}")
    if status == 1:
        raise NotHeldError(f"{device.name}: some artifacts failed there; the table names them and says why")
    if status != 0:
        raise InputError(f"{device.name}: the runner ended with status {status}", "what it said is above")


class ArtifactListing(Wire):
    """What ``have`` prints: {name: (size, SHA-256)}."""

    files: dict[str, tuple[int, str]]


def bring(session: Session, say: Callable[[str], None]) -> None:
    """Bring the bundle there: the runner first, which then takes what is missing or changed."""
    folder = f"{session.home}/bundle"
    put = 'mkdir -p -- "$1/bundle" && cat > "$1/bundle/.runner" && mv -- "$1/bundle/.runner" "$1/bundle/runner.pyz" '
    runner = (session.bundle / "runner.pyz").read_bytes()
    session.claim(session.home, put + "|| exit 1", runner, "putting the runner there")
    wanted = {name: (each.size_bytes, each.sha256) for name, each in session.head.files.items() if name != "runner.pyz"}
    head = session.bundle / "bundle.json"
    wanted["bundle.json"] = (head.stat().st_size, sha256_file(head))  # last: without it there is no bundle

    def attempt() -> None:
        there = _there(session, folder)
        missing = {name: list(entry) for name, entry in wanted.items() if there.get(name) != entry}
        if missing:
            total = sum(size for size, _ in (wanted[name] for name in missing))
            say(f"copying {len(missing)} of {len(wanted)} files, {total / 1e6:.1f} MB")
            _send(session, folder, missing)

    session.connection.patiently(attempt, "copying")


def _there(session: Session, folder: str) -> dict[str, tuple[int, str]]:
    step = "listing what is there"
    most = max(LISTED_BYTES, ENTRY_BYTES * len(session.head.files))
    said = session.ask(session.runner("have", folder), b"", step, most, session.hashing_s)
    try:
        return ArtifactListing.model_validate_json(said).files
    except ValidationError:
        raise session.odd(step, said, "a list of files") from None


def _send(session: Session, folder: str, missing: dict[str, list[object]]) -> None:
    most = ANSWER_BYTES + ENTRY_BYTES * len(missing)
    # At the end, what we gave last may still be under way: ssh alone holds 2 MiB.
    within_s = 3 * session.connection.silence_s
    with session.connection.start(session.runner("take", folder), "copying", most, within_s) as talk:
        talk.ignore_answers()
        with suppress(BrokenPipeError):
            stream.send(session.bundle, missing, talk)
        session.expect_well("copying", *talk.end())


def run(session: Session, say: Callable[[str], None]) -> int:
    """Start the runner there, detached, and follow it to its end; returns its exit status."""
    out = f"{session.home}/results"
    command = ["run", f"{session.home}/bundle", "--out", out, "--device", session.device.name]
    # Which artifacts and sets: those of the part that is there.
    asked = replace(session.device.asked(), only=(), sets=(), limit=session.limit)
    command += ["--evidence", "measured-on-device", *asked.options()]
    for left in reversed(range(TRIES)):
        said = session.ask(session.runner("start", out, *command), b"", "starting").strip()
        if said == b"running already":
            say("a run is on there already: following it")
        elif said != b"started":
            raise session.odd("starting", said, "'started'")
        status = _follow(session, out, say)
        if status != LOST and status >= 0:
            return status
        if left:
            say("the run ended without a word: killed, or the power went; it goes on")
    raise InputError(
        f"{session.device.name}: the run ended without a word, {TRIES} times",
        "look at its memory and its power supply; the same command goes on from here",
    )


def _follow(session: Session, out: str, say: Callable[[str], None]) -> int:
    """Say what the run says. It may say nothing for hours; the runner that follows it there then sends a BEAT."""
    at = 0
    line = b""

    def hear(piece: bytes) -> None:
        nonlocal at, line
        piece = piece.replace(BEAT, b"")
        at += len(piece)
        *ended, line = (line + piece).split(b"\n")
        for each in ended:
            say(plain(each[:LINE_BYTES].decode("utf-8", "replace")))
        line = line[:LINE_BYTES]

    def attempt() -> int:
        arguments = session.runner("follow", out, "--at", str(at), "--beat")
        try:
            with session.connection.start(arguments, "following", FOLLOWED_BYTES - at, signs=(b"\n", BEAT)) as talk:
                talk.close_input()
                for piece in iter(talk.read_some, b""):
                    hear(piece)
                return talk.end()[0]
        except SilentError as error:  # the run may well go on
            raise DroppedError(error.what.rpartition(": ")[2]) from None

    return session.connection.patiently(attempt, "following; the run goes on there")


def fetch(session: Session, say: Callable[[str], None]) -> int:
    """Bring home what is new of this bundle, and say what is left out; returns how many files. Raises InputError for
    what is no result, or a damaged one: then what is here stays as it is."""
    bundle, target = read_bundle(session.whole), session.results / session.device.name
    may = may_come(bundle)
    here = stream.listed(target, may)
    request = json.dumps({"files": here, "wanted": sorted(may)}).encode() + b"\n"
    step = "fetching results"
    with waiting_room(session.whole) as room:
        incoming = room / session.device.name

        def attempt() -> None:
            shutil.rmtree(incoming, ignore_errors=True)
            arguments = session.runner("give", f"{session.home}/results")
            most = MOST_BYTES + stream.MAX_HEAD_BYTES
            with session.connection.start(arguments, step, most, session.hashing_s) as talk:
                with suppress(BrokenPipeError):
                    talk.write(request)
                    talk.close_input()
                try:
                    for _ in stream.receive(talk, incoming, may.get, MOST_BYTES):
                        pass
                    if talk.read(1):
                        raise BundleError("more comes than was announced")
                except BundleError as error:
                    if talk.over:
                        session.expect_well(step, *talk.end())
                    raise InputError(
                        f"{session.device.address}: {step}: what it gives is refused: {error}",
                        "look at it; the same command fetches them again",
                    ) from None
                session.expect_well(step, *talk.end())

        session.connection.patiently(attempt, step)
        try:
            arrived = accept(bundle, incoming, session.results)
        except InputError as error:
            raise InputError(f"{session.device.address}: {error.what}", error.mend) from None
    for line in arrived.lines():
        say(line)
    return arrived.files
