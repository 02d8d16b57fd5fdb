"""The commands by which a host that reached this device puts a bundle on it, runs it and fetches its results.

``have`` tells what is in a folder, ``take`` puts a stream's files there, ``give`` sends results, ``pack`` puts them
into a zip file, ``start`` runs the runner detached, ``follow`` says what it says. A person can use them as well;
:mod:`bench.devices` on the host does.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Container

from pulseproof.runtime import detached
from pulseproof.runtime.files import replacing
from pulseproof.runtime.wire import stream, zipped
from pulseproof.runtime.wire.outfolder import locked
from pulseproof.runtime.wire.untrusted import BundleError, json_of


def add_commands(commands: Any) -> None:
    """Add the commands to the runner's parser."""
    have = commands.add_parser("have", help="list a folder's files with sizes and hashes, as JSON")
    have.add_argument("folder", type=Path)
    have.set_defaults(action=_have)
    take = commands.add_parser("take", help="put the files of a stream on standard input into a folder")
    take.add_argument("folder", type=Path)
    take.set_defaults(action=_take)
    give = commands.add_parser("give", help="send those files of a folder that standard input asks for, as a stream")
    give.add_argument("folder", type=Path)
    give.set_defaults(action=_give)
    packing = commands.add_parser("pack", help="put the results in a folder into FOLDER.zip, to carry them home")
    packing.add_argument("folder", type=Path)
    packing.set_defaults(action=_pack)
    start = commands.add_parser("start", help="run the runner detached: start OUT run BUNDLE --out OUT ...")
    start.add_argument("folder", type=Path)
    start.add_argument("arguments", nargs=argparse.REMAINDER)
    start.set_defaults(action=_start)
    follow = commands.add_parser("follow", help="say what a detached run says until it ends; its exit status")
    follow.add_argument("folder", type=Path)
    follow.add_argument("--at", type=int, default=0, help="from this byte on")
    follow.add_argument("--beat", action="store_true", help="write a NUL while the run says nothing")
    follow.set_defaults(action=_follow)


def _have(asked: argparse.Namespace) -> int:
    print(json.dumps({"files": stream.listed(asked.folder)}))
    return 0


def _take(asked: argparse.Namespace) -> int:
    with locked(asked.folder):
        for name, size in stream.receive(sys.stdin.buffer, asked.folder, of_bundle):
            print(json.dumps({"name": name, "size": size}), flush=True)
    return 0


def _give(asked: argparse.Namespace) -> int:
    """What the host has already, by name and hash, is not sent, nor what it does not want; of a result that changed,
    all files are."""
    try:
        request = json_of(sys.stdin.buffer.readline(stream.MAX_HEAD_BYTES))
        there, wanted = request["files"], request.get("wanted")
        here = _results(asked.folder, None if wanted is None else set(wanted))
        changed = {_result_of(name) for name, entry in here.items() if there.get(name) != entry}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BundleError("standard input: not a list of files") from None
    results = {name: entry for name, entry in here.items() if _result_of(name) in changed}
    stream.send(asked.folder, results, sys.stdout.buffer)
    return 0


def _results(folder: Path, wanted: Container[str] | None = None) -> dict[str, list[Any]]:
    """The files of a folder that are results, of those ``wanted``: not what the run said."""
    said = (detached.LOG, detached.STATUS)
    return {name: entry for name, entry in stream.listed(folder, wanted).items() if name not in said}


def pack(folder: Path) -> Path:
    """Put the results in ``folder`` into ``<folder>.zip`` beside it; returns its path."""
    path = folder.resolve()
    target = path.with_name(f"{path.name}.zip")
    with replacing(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        zipped.add(archive, "", path, _results(path))
    return target


def _pack(asked: argparse.Namespace) -> int:
    if not (asked.folder / "device.json").is_file():
        raise BundleError(f"{asked.folder}: no results there")
    print(f"packed {pack(asked.folder)}")
    return 0


def _result_of(name: str) -> str:
    """The result to which a file belongs: ``cnn__onnx-fp32/clean`` for its JSON, its scores and its times."""
    folder, _, file = name.rpartition("/")
    for end in (".times.npy", ".npy", ".json"):
        if file.endswith(end):
            file = file[: -len(end)].lstrip("_")
            break
    return f"{folder}/{file}"


def _start(asked: argparse.Namespace) -> int:
    print("started" if detached.start(asked.folder, asked.arguments) else "running already")
    return 0


def _follow(asked: argparse.Namespace) -> int:
    return detached.follow(asked.folder, sys.stdout.buffer, asked.at, asked.beat)


def of_bundle(name: str) -> int | None:
    """The most bytes that a bundle's file of this name may have: as many as it likes, and None for a name that Python
    or a shell would find and run, but the runner's."""
    fits = name.endswith((".npy", ".json", ".onnx", ".tflite")) or name == "runner.pyz"
    return stream.MAX_FILE_BYTES if fits else None
