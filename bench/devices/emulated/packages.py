"""Debian packages and wheels of another architecture, fetched and unpacked; nothing is installed, no root is needed.

In come names; out comes a folder with their files. ``apt-get`` works on a private state, so that it neither needs root
nor changes what this machine knows; it checks Debian's signatures as ever. ``pip download`` picks the wheels by the
tags of the other architecture. The mirror is the first Debian one that this machine uses, unless :data:`MIRROR` names
one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from pulseproof.core.errors import InputError

SUITE = "bookworm"  # Debian 12: Python 3.11 and QEMU 7.2, with which all this was checked
MIRROR = "PULSEPROOF_DEBIAN_MIRROR"  # the variable that names one where this machine uses none
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = Path("/etc/apt")
WHEEL_TAGS = {
    "arm64": tuple(f"manylinux{version}_aarch64" for version in ("_2_28", "_2_27", "_2_17", "2014")),
    "armhf": tuple(f"manylinux{version}_armv7l" for version in ("_2_34", "_2_31", "_2_17", "2014")),
    "amd64": tuple(f"manylinux{version}_x86_64" for version in ("_2_28", "_2_27", "_2_17", "2014")),
}


def fetch_packages(names: Sequence[str], architecture: str, target: Path) -> None:
    """Unpack Debian packages and all that they depend on into ``target``. Raises InputError."""
    need("apt-get", "an emulated device is prepared from Debian's packages: run this on Debian or Ubuntu")
    need("dpkg-deb", "apt-get install dpkg")
    if not KEYS.exists():
        raise InputError(f"{KEYS}: missing, so Debian's packages cannot be checked", "install debian-archive-keyring")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        for inner in ("lists/partial", "cache/archives/partial"):
            (state / inner).mkdir(parents=True)
        (state / "status").touch()  # nothing is installed: every dependency is fetched
        (state / "sources.list").write_text(
            f"deb [arch={architecture} signed-by={KEYS}] {mirror(SOURCES)} {SUITE} main\n"
        )
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Install-Recommends": "0",
            "APT::Sandbox::User": "",  # root's apt would drop to a user who may not write there
            "Debug::NoLocking": "1",
            "Dir::State::lists": state / "lists",
            "Dir::State::status": state / "status",
            "Dir::Cache": state / "cache",
            "Dir::Etc::sourcelist": state / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
        }
        apt = ["apt-get", "-q", *(text for key, value in settings.items() for text in ("-o", f"{key}={value}"))]
        mend = f"look at what apt-get said, and whether {mirror(SOURCES)} can be reached"
        run([*apt, "update"], f"apt-get cannot read the list of {architecture} packages", mend)
        run([*apt, "-y", "--download-only", "install", *names], f"apt-get cannot fetch {', '.join(names)}", mend)
        target.mkdir(parents=True, exist_ok=True)
        for package in sorted((state / "cache" / "archives").glob("*.deb")):
            run(["dpkg-deb", "-x", str(package), str(target)], f"{package.name} cannot be unpacked", "try again")


def fetch_wheels(names: Sequence[str], architecture: str, target: Path) -> None:
    """Unpack wheels (``numpy==2.4.6``) for CPython 3.11 on another architecture into ``target``. Raises InputError."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--implementation", "cp", "--python-version", "3.11", "--dest", folder]
        command += [text for tag in WHEEL_TAGS[architecture] for text in ("--platform", tag)]
        mend = "look at what pip said, and whether its package index can be reached"
        run([*command, *names], f"pip cannot fetch {', '.join(names)} for {architecture}", mend)
        for wheel in sorted(Path(folder).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(target)


def mirror(folder: Path) -> str:
    """The Debian mirror that :data:`MIRROR` names, else the first in ``sources.list`` or ``sources.list.d`` of
    ``folder``.

    Raises InputError when there is none.
    """
    if named := os.environ.get(MIRROR):
        return named
    lines: list[str] = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if path.is_file():
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines:
        found = re.match(
            r"(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(https?://\S*debian\.org/debian|https?://\S+/debian)/?(\s|$)", line
        )
        if found:
            return found.group(1)
    raise InputError(
        f"{folder}: this machine uses no Debian mirror, from which the packages of an emulated core would come",
        f"name one in {MIRROR}, or run on Debian",
    )


def need(program: str, mend: str) -> str:
    """The path of a program. Raises InputError when it is not there."""
    found = shutil.which(program)
    if found is None:
        raise InputError(f"{program}: not found on this machine", mend)
    return found


def run(command: Sequence[str], what: str, mend: str, **options: object) -> str:
    """Run a command to its end and give its standard output. Raises InputError with the end of what it said."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        words = f"status {done.returncode}" if done.returncode >= 0 else f"killed by signal {-done.returncode}"
        raise InputError(f"{what} ({'; '.join([words, *said[-2:]])[:400]})", mend)
    output: str = done.stdout
    return output
