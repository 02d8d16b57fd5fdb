"""An emulated system: Python, numpy and the engines for another architecture, and the command that starts them.

In comes a :class:`~bench.devices.emulated.cores.Core`; out comes a :class:`PreparedSystem` that was checked. It is made
once, in less than two minutes, in the user's cache folder (``$XDG_CACHE_HOME/pulseproof``), under a name that holds a
digest of all that it is made of: beside its place, then renamed, so that a killed preparation leaves nothing half-made.
Needed: apt-get, dpkg-deb and gcc (Debian or Ubuntu), pip, and the network once. No root, no binfmt, no container.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pulseproof.bench.devices.emulated.cores import QEMU, Architecture, Core
from pulseproof.bench.devices.emulated.packages import SUITE, fetch_packages, fetch_wheels, need, run
from pulseproof.core.cache import cache_folder
from pulseproof.core.steps import digest
from pulseproof.runtime.files import write_text

LAYOUT = 2  # raise it when what is made changes
PLUGIN = Path(__file__).with_name("count.c")
PACKAGES: dict[Architecture, tuple[str, ...]] = {
    "arm64": ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1"),
    "armhf": ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1", "python3-numpy"),
    "amd64": ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1"),
}
# The engines whose scores are compared have the versions of this environment. For 32-bit ARM there is one engine.
SAME_AS_HERE = ("numpy", "onnxruntime", "ai-edge-litert")
TFLITE_RUNTIME = "tflite-runtime==2.14.0"
FORMATS: dict[Architecture, tuple[str, ...]] = {
    "arm64": ("onnx", "tflite"),
    "armhf": ("tflite",),
    "amd64": ("onnx", "tflite"),
}


@dataclass(frozen=True)
class PreparedSystem:
    """A prepared system. ``start`` is the command that starts Python in it, ``environment`` what Python needs there;
    ``home`` its root, ``formats`` the files that its engines open."""

    core: Core
    home: Path
    start: tuple[str, ...]
    environment: dict[str, str]
    formats: tuple[str, ...]

    def run(
        self, arguments: Sequence[str], counts: Path | None = None, path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Python in it with these arguments. ``counts``: the prefix of the files to which the counts of
        instructions go; ``path``: a further folder to import from."""
        extra = {} if counts is None else {"PULSEPROOF_COUNTS": str(counts)}
        if path is not None:
            extra["PYTHONPATH"] = os.pathsep.join([self.environment["PYTHONPATH"], str(path)])
        return subprocess.run(
            [*self.start, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=clean_environment() | self.environment | extra,
        )

    def version(self) -> str:
        """What qemu says it is, on one line."""
        command = [*self.start[: self.start.index("-cpu")], "--version"]
        said = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
        return said.partition("\n")[0].strip()


# Meant for this process's own Python and loader; and by what its owner tells libraries which processor this is, such as
# OPENBLAS_CORETYPE=Haswell: a Nehalem that believes it ends at its first AVX instruction.
FOREIGN = ("PYTHON", "LD_", "PULSEPROOF_", "OPENBLAS_", "NPY_", "MKL_", "BLIS_", "ONEDNN_", "DNNL_", "GLIBC_TUNABLES")


def clean_environment() -> dict[str, str]:
    """This process's environment without what is no concern of an emulated system."""
    return {key: value for key, value in os.environ.items() if not key.startswith(FOREIGN)}


def prepare(core: Core, say: Callable[[str], None], cache: Path | None = None) -> PreparedSystem:
    """Make the system of a core, or take the one that is there; without its self-checks, which are
    :func:`bench.devices.emulated.checks.checked`. Raises InputError."""
    base = _base(core.architecture, say, cache or cache_folder())
    home = base / "cores" / core.name
    if not home.is_dir():
        with _beside(home) as made:
            for part in sorted((base / "root").iterdir()):
                (made / part.name).symlink_to(Path("..", "..", "root", part.name))
            for name in ("possible", "present", "online"):
                write_text(made / "sys" / "devices" / "system" / "cpu" / name, "0\n")
    cpuinfo = home / "proc" / "cpuinfo"
    if not cpuinfo.exists() or cpuinfo.read_text() != core.cpuinfo():
        write_text(cpuinfo, core.cpuinfo())
    start = [*_qemu(base, core.qemu), "-cpu", core.cpu, "-L", str(home), "-plugin", str(base / "count.so")]
    # With an order of hashes drawn anew, Python would count differently in every process.
    settings = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1", "PYTHONHASHSEED": "0"}
    site = [str(base / "site"), str(base / "root" / "usr" / "lib" / "python3" / "dist-packages")]
    return PreparedSystem(
        core=core,
        home=home,
        start=(*start, str(home / "usr" / "bin" / "python3.11")),
        environment={"PYTHONPATH": os.pathsep.join(site), **settings},
        formats=FORMATS[core.architecture],
    )


def _base(architecture: Architecture, say: Callable[[str], None], cache: Path) -> Path:
    """The folder of an architecture: its files (``root``), wheels (``site``), the plugin, and qemu where this machine
    has none."""
    wheels = [TFLITE_RUNTIME]
    if architecture != "armhf":
        wheels = [f"{name}=={metadata.version(name)}" for name in SAME_AS_HERE]
    made_of = [LAYOUT, SUITE, architecture, PACKAGES[architecture], wheels, PLUGIN.read_text(), platform.machine()]
    base = cache / f"{architecture}-{digest(made_of)[:12]}"
    if base.is_dir():
        return base
    gcc = need("gcc", "apt-get install gcc: it makes the plugin that counts instructions")
    say(f"preparing {architecture}: Debian packages, wheels and a plugin into {base} (once, about a minute)")
    with _beside(base) as made:
        own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        if _own_qemu() is None:
            fetch_packages(["qemu-user"], own, made / "qemu")
        fetch_packages(PACKAGES[architecture], architecture, made / "root")
        if architecture == "armhf":
            _plain_names(made / "root")
        if architecture == "amd64":
            _closed(made / "root")
        fetch_wheels(wheels, architecture, made / "site")
        command = [gcc, "-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden", "-o", str(made / "count.so")]
        run([*command, str(PLUGIN)], "gcc cannot make the plugin", "apt-get install gcc libc6-dev")
        (made / "cores").mkdir()
    return base


def _qemu(base: Path, program: str) -> list[str]:
    """The command of qemu: this machine's where its version fits, else the unpacked one by its own loader, so that it
    needs no library of this machine."""
    unpacked = base / "qemu"
    if not unpacked.exists():
        return [need(program, f"apt-get install qemu-user, or delete {base}: then it is fetched")]
    loader = next(path for path in sorted(unpacked.glob("lib*/ld-linux*.so*")))
    libraries = [
        str(path) for folder in ("lib", "usr/lib") for path in sorted((unpacked / folder).glob("*-linux-gnu*"))
    ]
    return [str(loader), "--library-path", ":".join(libraries), str(unpacked / "usr" / "bin" / program)]


def _own_qemu() -> str | None:
    """This machine's qemu-user if it takes our plugin: version 7.2 (AVX2) to 8 (the plugin interface)."""
    found, *others = (shutil.which(program) for program in QEMU.values())
    if found is None or None in others:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    return found if version and (7, 2) <= (int(version[1]), int(version[2])) < (9, 0) else None


def _closed(root: Path) -> None:
    """Let no path of an x86 system lead to this machine's own files, which an x86 machine has at the same places.

    Of a library that lies in ``/usr/lib`` the loader asks for ``/lib`` too: on a system the two are one folder, and so
    they become here. A link that starts at the root of the file system (the loader's own) starts at ``root`` instead.
    """
    for name in ("bin", "lib", "lib64", "sbin"):
        folder = root / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.copytree(folder, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)
            folder.symlink_to(Path("usr", name))
    for path in sorted(root.rglob("*")):
        if path.is_symlink() and path.readlink().is_absolute():
            target = root / path.readlink().relative_to("/")
            path.unlink()
            path.symlink_to(os.path.relpath(target, path.parent))


def _plain_names(root: Path) -> None:
    """Debian's numpy looks for libblas and liblapack one level up, where update-alternatives would have put links."""
    folder = root / "usr" / "lib" / "arm-linux-gnueabihf"
    for part in ("blas", "lapack"):
        for library in sorted((folder / part).glob("*.so*")):
            shutil.copy2(library, folder / library.name)


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A folder beside ``place`` that is renamed into it on success, and removed otherwise."""
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".partial", dir=place.parent))
    try:
        yield made
        made.chmod(0o755)
        try:
            made.rename(place)
        except OSError:  # another process was faster
            if not place.is_dir():
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
