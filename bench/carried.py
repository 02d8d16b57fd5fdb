"""A bundle as one file to carry to a device by hand, and the results that are carried home.

In come a study's bundle and what is asked for; out comes ``<study>-bundle.pyz``, which Python runs there
(:mod:`runtime.carried`). In comes ``results.zip``, a stranger's; out come the results of a device in their place, after
every check that those over ssh pass.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from bench.asked import Asked
from bench.bundle import add_runner
from bench.device_names import expect_free
from bench.devices.run import MOST_RESULTS_BYTES, accept, is_result
from bench.part import make_part
from bench.results import read_bundle, read_device
from bench.schema import BundleHead
from core.errors import InputError
from runtime import stream, zipped
from runtime.bundle import SET_NAME
from runtime.carried import PREFIX
from runtime.files import replacing, sha256_file
from runtime.untrusted import BundleError, read_fields

SHEBANG = b"#!/usr/bin/env python3\n"
MEND = "carry it again, or run the device's file once more"


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
                add_runner(archive, "carried")
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


def take(bundle: Path, archive: Path, results: Path) -> tuple[str, int, int]:
    """Put the results in ``archive`` into ``results/<device>/``; returns the device, how many results belong to the
    bundle, and how many do not. Raises InputError for anything else, before a file of ``results`` is touched."""
    incoming = bundle.parent / "incoming" / f".{os.getpid()}"
    try:
        name, folder = _unpacked(archive, incoming)
        try:
            found = read_device(read_bundle(bundle), folder)
        except InputError as error:
            raise InputError(f"{archive}: {error.what.replace(f'{folder}{os.sep}', '')}", MEND) from None
        if not found.results:
            reasons = sorted({each.reason for each in found.stale}) or ["it holds none"]
            raise InputError(f"{archive}: no results of this study's bundle ({', '.join(reasons)})", MEND)
        accept(bundle, folder, results / name)
        return name, len(found.results), len(found.stale)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _unpacked(archive: Path, incoming: Path) -> tuple[str, Path]:
    """Put the files of ``archive`` into a folder under ``incoming`` that is called as the device calls itself."""
    if not archive.is_file():
        raise InputError(f"{archive}: no such file", "it lies beside the folder of results on the device")
    folder = incoming / "files"
    try:
        with zipped.opened(archive) as opened:
            files = zipped.listed(opened, "")
            for _ in stream.receive(zipped.Members(opened, "", files), folder, is_result, MOST_RESULTS_BYTES):
                pass
        if not (folder / "device.json").is_file():
            raise BundleError("it has no device.json")
        name = read_fields(folder / "device.json").name("name", SET_NAME)
    except BundleError as error:
        said = str(error).removeprefix(f"{archive}: ").replace(f"{folder}{os.sep}", "")
        raise InputError(f"{archive}: {said}", MEND) from None
    try:
        expect_free(name)
    except ValueError as error:
        raise InputError(f"{archive}: {error}", "run it again on the device, with --device NAME") from None
    return name, folder.rename(incoming / name)
