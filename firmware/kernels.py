"""The source of CMSIS-NN, Arm's kernels for Cortex-M, which a firmware is linked with.

Nothing comes in; out comes a folder with C files, the same in every installation: each file is held against
:data:`SOURCES_SHA256` before it is used. It comes out of the wheel of the PyPI package ``bakenn`` (Apache-2.0), which
carries CMSIS-NN 4.0.0 and the headers of CMSIS; on request the wheel is downloaded, with the hash of
``requirements-firmware.lock``, and unpacked into the cache. Where the extra ``pulseproof[firmware]`` is
installed, its files are taken. No line of that package's Python is imported or run.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path

from pulseproof.core.cache import cache_folder
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.runtime.words import one_line

VERSION = "4.0.0"  # of CMSIS-NN
PACKAGE = "bakenn"
LOCK = "requirements-firmware.lock"
HOME = Path(__file__).resolve().parents[1]
INSIDE = f"{PACKAGE}/backend/cmsis_nn/vendor/"
SOURCES_SHA256 = "f75d6889d235753453ce25267d59949ab5cde0cc523d00cfb5f2c01124b60189"
KEPT = (".c", ".h", ".txt", ".md")
RENAMED = {"cmsis_nn": "cmsis-nn", "cmsis_core": "cmsis-core", "BAKENN_PROVENANCE.md": "PROVENANCE.md"}
LIMIT_S = 300
ASK = "pulseproof firmware --with-cmsis-nn fetches it (once)"


def cmsis_nn(fetch: bool = False) -> Path:
    """The folder with ``cmsis-nn`` and ``cmsis-core``. ``fetch``: it may be downloaded.

    Raises InputError when it is not here, cannot be fetched, or is not what it should be.
    """
    folder = cached()
    if not folder.is_dir():
        found = _installed()
        if found is None and not fetch:
            raise InputError("the source of CMSIS-NN, with which a firmware is built, is not here", ASK)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".cmsis-nn-") as made:
            target = Path(made) / "cmsis-nn"
            _take(found if found is not None else _downloaded(Path(made)), target)
            if not folder.is_dir():
                target.rename(folder)
    _expect_known(folder)
    return folder


def cached() -> Path:
    """Where it is kept."""
    return cache_folder() / f"cmsis-nn-{VERSION}"


def files_of(folder: Path) -> dict[str, bytes]:
    """{relative path: content} of all that is there."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def digest_of(files: dict[str, bytes]) -> str:
    """Of names and contents."""
    found = hashlib.sha256()
    for name in sorted(files):
        found.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return found.hexdigest()


def _installed() -> dict[str, bytes] | None:
    """The files of the installed extra, by their names in its wheel."""
    try:
        listed = metadata.distribution(PACKAGE).files or []
    except metadata.PackageNotFoundError:
        return None
    return {str(one): Path(str(one.locate())).read_bytes() for one in listed if _is_source(str(one))}


def _downloaded(folder: Path) -> dict[str, bytes]:
    lock = HOME / LOCK
    if not lock.is_file():
        raise InputError(
            f"{LOCK} is not here: it comes with the checkout, not with the wheel", "pip install 'pulseproof[firmware]'"
        )
    say("fetching the source of CMSIS-NN")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        subprocess.run(
            [*pip, "--only-binary=:all:", "--require-hashes", "-r", str(lock), "--dest", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines() or ["it says nothing"]
        raise InputError(
            f"the source of CMSIS-NN could not be fetched: {one_line(said[-1], 300)}",
            "look at what pip said, and whether its package index can be reached",
        ) from None
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if _is_source(name)}


def _is_source(name: str) -> bool:
    return name.startswith(INSIDE) and name.endswith(KEPT)


def _take(files: dict[str, bytes], target: Path) -> None:
    for name, content in files.items():
        parts = [RENAMED.get(part, part) for part in name.removeprefix(INSIDE).split("/")]
        place = target.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    _expect_known(target)


def _expect_known(folder: Path) -> None:
    found = digest_of(files_of(folder))
    if found != SOURCES_SHA256:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"the source of CMSIS-NN is not the one that is known here (SHA-256 {found})", ASK)
