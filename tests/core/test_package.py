"""What is installed: one package, whole, beside which a user's own packages keep their names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import pulseproof

ROOT = Path(__file__).parents[2]
LOOK = """
import pulseproof, sys
from pathlib import Path
called = pulseproof.attack_model, pulseproof.check_file, pulseproof.export_model
assert "torch" not in sys.modules and all(each.__doc__ for each in called)
from pulseproof.main import DEMO
from pulseproof.models.systems import import_callable
assert not [name for name in sys.modules if name.split(".")[0] in ("models", "export", "bench")]
made, sha256 = import_callable("models.net:make", "[models.mine]")
print(Path(pulseproof.__file__).parent, DEMO.is_file(), made(), len(sha256))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Of a copy: a build leaves folders beside its sources.
    without = shutil.ignore_patterns(".*", "__pycache__", "build", "docs", "tests", "*.egg-info")
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=without)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "--wheel-dir", str(folder), str(folder / "checkout")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


def looked(home: Path, path: Path) -> list[str]:
    """What :data:`LOOK` prints in a folder where a user has a package called ``models``."""
    (home / "models").mkdir(parents=True)
    (home / "models" / "__init__.py").touch()
    (home / "models" / "net.py").write_text("def make():\n    return 'mine'\n")
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
def test_a_wheel_installs_one_package_and_all_of_it(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
        archive.extractall(tmp_path / "site-packages")
    assert {name.partition("/")[0] for name in names} == {"pulseproof"}
    package = ROOT / "pulseproof"
    rooms = [path for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"]
    files = [*package.glob("*"), *(path for room in rooms for path in room.resolve().rglob("*"))]
    suffixes = {".py", ".css", ".js", ".html", ".c", ".h", ".j2", ".csv", ".json", ".toml", ".typed"}
    wanted = {path.name for path in files if path.suffix in suffixes and "__pycache__" not in path.parts}
    assert {name.rpartition("/")[2] for name in names} == wanted
    assert sum(name.endswith(".py") for name in names) == sum(path.suffix == ".py" for path in files)
    said = looked(tmp_path / "own", tmp_path / "site-packages")
    assert said == [str(tmp_path / "site-packages" / "pulseproof"), "True", "mine", "64"]


def test_in_a_checkout_a_user_has_a_package_of_his_own_called_models(tmp_path: Path) -> None:
    assert looked(tmp_path / "own", ROOT)[1:] == ["True", "mine", "64"]


def test_the_package_itself_imports_nothing() -> None:
    program = "import sys, pulseproof; print([name for name in sys.modules if name.startswith('pulseproof.')])"
    assert pulseproof.__doc__
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
