"""The Dockerfile and the compose file: what they copy is there, what they run is the Makefile's and the runner's.

There is no docker here, so that no image is built; what its commands do is tried without one.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import subprocess
from importlib.metadata import requires
from pathlib import Path
from unittest import mock

import pytest
import yaml
from packaging.requirements import Requirement

from pulseproof.runtime.wire import carried
from tests.docs.conftest import ROOT

FOLDER = ROOT / "docker"
TEXT = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line.strip()]
ARGS = dict(re.findall(r'^ARG (\w+)="?([^"\n]*)"?$', TEXT, re.MULTILINE))
STAGES = re.findall(r"^FROM \S+ AS (\w+)$", TEXT, re.MULTILINE)
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["board"]


def values(kind: str) -> list[str]:
    return [rest for keyword, rest in LINES if keyword == kind]


def packages(text: str) -> list[str]:
    return re.findall(r"^([\w.-]+)==", text, re.MULTILINE)


def test_every_instruction_is_one_and_every_stage_has_a_base() -> None:
    known = {"ARG", "FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert {keyword for keyword, _ in LINES} == known
    assert STAGES == ["board", "full"] and COMPOSE["build"]["target"] == "board"
    assert (FOLDER / COMPOSE["build"]["context"] / COMPOSE["build"]["dockerfile"]).is_file()


def test_what_it_copies_is_there_and_is_not_ignored() -> None:
    ignored = (FOLDER / "Dockerfile.dockerignore").read_text().split()
    for rest in values("COPY"):
        *sources, _ = rest.split()
        for name in sources:
            assert (ROOT / name).exists() and not any(fnmatch.fnmatch(name, each) for each in ignored), name
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    lost = [name for name in tracked for each in ignored if name == each or name.startswith(f"{each}/")]
    assert lost == [], "make setup and the tests would miss them"


def test_what_it_runs_is_the_makefiles() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    run = [shlex.split(part) for rest in values("RUN") for part in rest.split("&&")]
    made = [words[1] for words in run if words[0] == "make"]
    assert made == ["setup"] and set(made) <= set(targets)
    assert {words[0] for words in run} == {"make", "apt-get", "rm", "awk", "python"}
    (pip,) = [words for words in run if words[:3] == ["python", "-m", "pip"]]
    assert {"--require-hashes", "--no-deps"} <= set(pip) and ":all:" in pip


def test_the_board_gets_the_engines_of_the_lock_with_all_that_they_import(tmp_path: Path) -> None:
    (select,) = [rest for rest in values("RUN") if rest.startswith("awk")]
    (tmp_path / "requirements.lock").write_bytes((ROOT / "requirements.lock").read_bytes())
    subprocess.run(["sh", "-c", select], cwd=tmp_path, env={**os.environ, "PACKAGES": ARGS["PACKAGES"]}, check=True)
    lock = (tmp_path / "board.lock").read_text()
    needed, waiting = set[str](), ["numpy", "onnxruntime", "ai-edge-litert"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name not in needed:
            needed.add(name)
            asked = [Requirement(each) for each in requires(name) or ()]
            board = {"extra": "", "platform_machine": "aarch64", "sys_platform": "linux"}
            waiting += [one.name for one in asked if one.marker is None or one.marker.evaluate(board)]
    assert set(packages(lock)) == needed == set(ARGS["PACKAGES"].split())
    assert lock.count("--hash=sha256:") > len(needed) and "--only-binary" not in lock


@pytest.mark.parametrize("command", [COMPOSE["command"], ["/bundle.pyz", "run", "--help"]])
def test_what_the_board_runs_is_what_a_carried_bundle_takes(command: list[str]) -> None:
    words = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in command]
    assert f"{words[0]}:ro" in COMPOSE["volumes"][0] and '["python3"]' in values("ENTRYPOINT")
    with mock.patch.object(carried, "_archive", lambda: Path(words[0])), pytest.raises(SystemExit) as ended:
        asked = carried._parser().parse_args(words[1:])
        assert asked.out.parent == Path(COMPOSE["volumes"][1].rpartition(":")[2])
        raise SystemExit(0)
    assert ended.value.code == 0


def test_the_board_sees_no_network_and_writes_to_one_folder() -> None:
    assert COMPOSE["network_mode"] == "none" and COMPOSE["read_only"] is True and COMPOSE["cap_drop"] == ["ALL"]
    assert COMPOSE["platform"] == "linux/arm64" and "privileged" not in COMPOSE and len(COMPOSE["volumes"]) == 2


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ([], "build --file docker/Dockerfile --target board --tag pulseproof-board --platform linux/arm64 ."),
        (["full"], "build --file docker/Dockerfile --target full --tag pulseproof-full ."),
    ],
)
def test_the_script_asks_docker_for_an_image(asked: list[str], expected: str, tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "$PWD: $*"\n')
    docker.chmod(0o755)
    done = build(asked, f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout) == (0, f"{ROOT}: {expected}\n")


def test_without_docker_or_for_another_image_the_script_says_so(tmp_path: Path) -> None:
    for name in ("sh", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = build([], str(tmp_path))
    assert done.returncode == 2 and "docker is not installed here; nothing else in Pulseproof needs it" in done.stderr
    done = build(["boards"], str(tmp_path))
    assert done.returncode == 2 and "no image 'boards'; there are board and full" in done.stderr


def build(asked: list[str], path: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(FOLDER / "build.sh"), *asked]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})
