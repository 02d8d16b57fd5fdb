"""A bundle as one file to carry to a device by hand, and the results that are carried home.

In come a study's bundle and what is asked for; out comes ``<study>-bundle.pyz``, which Python runs there
(:mod:`runtime.wire.carried`). In comes ``results.zip``, a stranger's; out come the results of a device in their place,
after every check that those over ssh pass. To whom runs devices, such an archive is one (``carried:results.zip``).
"""

from __future__ import annotations

import os
import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pulseproof.bench.bundle import add_runner
from pulseproof.bench.devices.arrivals import MOST_BYTES, Arrived, accept, is_result, may_come, waiting_room
from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.kinds import expect_free
from pulseproof.bench.devices.part import make_part
from pulseproof.bench.wire.results import HostBundle, read_bundle
from pulseproof.bench.wire.schema import BundleHead
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.runtime.files import replacing, sha256_file
from pulseproof.runtime.wire import stream, zipped
from pulseproof.runtime.wire.bundle import SET_NAME
from pulseproof.runtime.wire.carried import PREFIX
from pulseproof.runtime.wire.untrusted import BundleError, read_fields

SHEBANG = b"#!/usr/bin/env python3\n"
FILES = ".files"  # while they are unpacked; no device is called so
MEND = "carry it again, or run the device's file once more"


@dataclass(frozen=True)
class Carried(AnyDevice):
    """A device that nobody reaches: what it was asked for is in the file that was carried there, and its ``archive`` of
    results came home."""

    archive: Path

    @property
    def name(self) -> str:
        """The archive's: what the device calls itself, and its folder of results, is in there."""
        return self.archive.name

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del asked, python
        return cls(Path(address))

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        """Put the results in the archive in their place, and say of which device they are."""
        del setup, stop  # it ran already
        device, arrived = take(bundle, self.archive, results)
        for line in arrived.lines():
            say(line)
        say(f"{len(arrived.results)} results of {device} are in {results / device}")


def carried_part(bundle: Path, asked: Asked) -> tuple[Path, BundleHead]:
    """The part of a bundle that is carried, and its head: what is asked for, else what the study gives a device."""
    part = make_part(bundle, bundle.parent / "parts" / "carried", asked, read_bundle(bundle).head.device)
    return part, read_bundle(part).head


def write_carried(bundle: Path, asked: Asked) -> Path:
    """Write ``<study>-bundle.pyz`` beside ``bundle``, or leave it when it is what it should be; returns its path.

    Raises InputError when nothing is left to carry, or more than such a file can hold (4 GB).
    """
    part, head = carried_part(bundle, asked)
    target = bundle.parent / f"{head.study}-bundle.pyz"
    listing = sha256_file(part / "bundle.json")  # it holds the hash of all else, the runner's too
    files: dict[str, list[Any]] = {name: [each.size_bytes, each.sha256] for name, each in head.files.items()}
    files["bundle.json"] = [(part / "bundle.json").stat().st_size, listing]  # last: without it there is no bundle
    digest = listing.encode()
    if _is(target, digest):
        return target
    with replacing(target) as temporary:
        temporary.write_bytes(SHEBANG)
        try:
            with zipfile.ZipFile(temporary, "a", zipfile.ZIP_STORED, allowZip64=False) as archive:
                add_runner(archive, "wire.carried")
                zipped.add(archive, PREFIX, part, files)
                archive.comment = digest
        except zipfile.LargeZipFile:
            raise InputError(f"{target}: more than 4 GB", "ask for fewer signal sets (--sets)") from None
    target.chmod(0o755)
    return target


def _is(path: Path, digest: bytes) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == digest
    except (OSError, zipfile.BadZipFile):
        return False


def take(bundle: Path, archive: Path, results: Path) -> tuple[str, Arrived]:
    """Put the results in ``archive`` that are of the bundle into ``results/<device>/``; returns the device, and what
    took its place there and what did not. Raises InputError for anything else, before a file of ``results`` is
    touched."""
    whole = read_bundle(bundle)
    with waiting_room(bundle) as room:
        try:
            incoming, left_out = _unpacked(whole, archive, room)
            arrived = accept(whole, incoming, results, left_out)
        except InputError as error:
            raise InputError(f"{archive}: {error.what}", error.mend) from None
        except BundleError as error:
            said = str(error).removeprefix(f"{archive}: ").replace(f"{room / FILES}{os.sep}", "")
            raise InputError(f"{archive}: {said}", MEND) from None
    if not arrived.results:
        reasons = sorted({why for _, why in arrived.left_out}) or ["it holds none"]
        raise InputError(f"{archive}: no results of this study's bundle ({', '.join(reasons)})", MEND)
    return incoming.name, arrived


def _unpacked(bundle: HostBundle, archive: Path, room: Path) -> tuple[Path, list[tuple[str, str]]]:
    """Put the files of ``archive`` that can be of the bundle into a folder in ``room`` that is called as the device
    calls itself; returns that, and what was left out. Raises BundleError, InputError."""
    if not archive.is_file():
        raise InputError("no such file", "it lies beside the folder of results on the device")
    folder, most = room / FILES, may_come(bundle)
    with zipped.opened(archive) as opened:
        files = zipped.listed(opened, "")
        foreign = [name for name in files if name not in most and is_result(name)]
        left_out = [(name, "the bundle has no such result") for name in foreign]
        for name in foreign:
            del files[name]
        for _ in stream.receive(zipped.Members(opened, "", files), folder, most.get, MOST_BYTES):
            pass
    if not (folder / "device.json").is_file():
        raise BundleError("it has no device.json")
    name = read_fields(folder / "device.json").name("name", SET_NAME)
    try:
        expect_free(name)
    except ValueError as error:
        raise InputError(str(error), "run it again on the device, with --device NAME") from None
    return folder.rename(room / name), left_out
