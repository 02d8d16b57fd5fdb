"""The one file that is carried to a device by hand: the runner and a bundle, in a zip file that Python runs.

``python3 ptb-xl-bundle.pyz run --out results`` puts the bundle into ``results/.bundle`` (what is there is left alone),
runs it, and puts what came out into ``results.zip``, which is carried home. Its other commands are the runner's own,
and ``unpack``, which puts the bundle into a folder and no more.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Sequence

from pulseproof.runtime import commands
from pulseproof.runtime.runner import main as runner
from pulseproof.runtime.terminal import plain_streams
from pulseproof.runtime.version import home
from pulseproof.runtime.wire import zipped
from pulseproof.runtime.wire.carry import of_bundle, pack
from pulseproof.runtime.wire.outfolder import locked
from pulseproof.runtime.wire.stream import NAME, receive
from pulseproof.runtime.wire.untrusted import BundleError, read_fields

PREFIX = "bundle/"
OWN = ("run", "unpack", "-h", "--help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status, as :mod:`runtime.runner` says."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] not in OWN:
        return runner(arguments)
    with plain_streams():
        return commands.guarded(_parser().parse_args(arguments))


def unpack(archive: Path, folder: Path) -> int:
    """Put the bundle of ``archive`` into ``folder``, but files that are there with their size; returns how many were
    put. Raises :class:`~runtime.wire.untrusted.BundleError` for anything that is no bundle's, ``OSError``."""
    with zipped.opened(archive) as opened:
        files = zipped.listed(opened, PREFIX)
        if "bundle.json" not in files:
            raise BundleError(f"{archive}: its list of files names no bundle.json")
        with locked(folder):
            missing = {name: entry for name, entry in files.items() if not _is_there(folder, name, entry)}
            if not missing:
                return 0
            return len(list(receive(zipped.Members(opened, PREFIX, missing), folder, of_bundle)))


def _is_there(folder: Path, name: str, entry: object) -> bool:
    """True for a file of the listed size: it was hashed before it was put there, and is again before it is used. The
    list is unchecked: what is odd in it counts as missing, and is refused where it is taken."""
    if not NAME.fullmatch(name) or not isinstance(entry, list) or name.endswith(".json"):
        return False
    path = folder / name
    return os.path.isfile(path) and [os.path.getsize(path)] == entry[:1]


def _archive() -> Path:
    return home()


def _run(asked: argparse.Namespace) -> int:
    asked.bundle = asked.out / ".bundle"
    _put(asked.bundle)
    asked.limit = asked.limit or _records(asked.bundle)
    try:
        status = commands.run(asked)
    except BundleError as error:
        raise BundleError(f"{error}; delete {asked.bundle}: the same command unpacks it again") from None
    if status in (0, 1):
        packed = pack(asked.out)
        print(f"{packed}: carry it home, and there: make take STUDY=... RESULTS={packed.name}")
    return status


def _records(folder: Path) -> int | None:
    """How many recordings of each set the study gives a device; None for all."""
    part = read_fields(folder / "bundle.json").value.get("device")
    records = part.get("records") if isinstance(part, dict) else None
    return records if isinstance(records, int) and records > 0 else None


def _unpack(asked: argparse.Namespace) -> int:
    _put(asked.folder)
    return 0


def _put(folder: Path) -> None:
    count = unpack(_archive(), folder)
    if count:
        print(f"{folder}: {count} files of the bundle were put there", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_archive().name,
        description="Run the Pulseproof bundle in this file on this device. Its runner's other commands: probe, pack.",
    )
    parsers = parser.add_subparsers(dest="command", required=True, metavar="run | unpack | probe | pack")
    run = parsers.add_parser("run", help="run every artifact on every signal set; go on where an earlier run stopped")
    commands.add_run_options(run, Path("results"))
    run.set_defaults(action=_run)
    unpacking = parsers.add_parser("unpack", help="put the bundle into a folder")
    unpacking.add_argument("folder", type=Path)
    unpacking.set_defaults(action=_unpack)
    return parser
