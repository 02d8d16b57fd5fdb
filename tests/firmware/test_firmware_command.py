"""``pulseproof firmware``: from an artifact or a file to a project, and what is refused before anything is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.firmware import check
from pulseproof.firmware.commands import firmware
from pulseproof.firmware.kernels import ASK, SOURCES_SHA256, digest_of, files_of
from tests.firmware.making import STRANGERS, write_lstm

FILE = STRANGERS / "keras-cnn-int8-io.tflite"
STUDY = """name = "mine"
title = "Mine"
[data]
source = "synthetic"
[models.lstm]
"""


def test_an_artifact_of_a_study_becomes_a_project(kernels: Path, tmp_path: Path) -> None:
    study = tmp_path / "mine.toml"
    study.write_text(STUDY)
    place = tmp_path / "build" / "mine" / "artifacts" / "lstm"
    place.mkdir(parents=True)
    write_lstm(place / "tflite-int8-full.tflite")
    to = tmp_path / "deep" / "firmware"
    firmware(artifact="lstm/tflite-int8-full", study=study, build=tmp_path / "build", to=to)
    header = (to / "src" / "pulseproof_model.h").read_text()
    assert "#define PULSEPROOF_INPUT_BYTES 64 " in header and " mV */" in header
    assert "pulseproof_predict(recording, scores)" in (to / "README.md").read_text()
    assert not [one for one in to.parent.iterdir() if one != to]
    with pytest.raises(InputError, match=r"no such artifact in .*; there are lstm/tflite-int8-full"):
        firmware(artifact="lstm/tflite-int8-static", study=study, build=tmp_path / "build", to=tmp_path / "other")
    with pytest.raises(InputError, match="made of TFLite files"):
        firmware(artifact="lstm/onnx-fp32", study=study, build=tmp_path / "build", to=tmp_path / "other")


@pytest.mark.slow
def test_a_core_is_compared_operator_by_operator(
    kernels: Path, tools: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    firmware(FILE, to=tmp_path / "one", core=["cortex-m4"])
    said = capsys.readouterr()
    assert re.search(r"\| CONV_2D \| 1 x 1 x 160 x 20 \| 0 of 12800 \| 0\.\d+ \| \d+\.\d% \|", said.out)
    assert "0 of 25064 bytes differ from LiteRT's reference kernels" in said.out + said.err

    right = check.reference_layers
    monkeypatch.setattr(check, "reference_layers", lambda *given: right(*given) ^ 1)
    with pytest.raises(NotHeldError, match="its numbers on cortex-m4 are not those of the file"):
        firmware(FILE, to=tmp_path / "two", core=["cortex-m4"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say what the firmware is made of"),
        ({"file": FILE, "artifact": "cnn/tflite-int8-full"}, "say what the firmware is made of"),
        ({"file": Path("none.tflite")}, "none.tflite: no such file"),
        ({"artifact": "cnn/tflite-int8-full"}, "of which study?"),
        ({"file": FILE}, "no folder for the project"),
        ({"file": FILE, "to": Path()}, "something is there"),
        ({"file": FILE, "core": ["cortex-m3"]}, "--core cortex-m3: no such core"),
    ],
)
def test_wrong_use_is_told_before_anything_is_made(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        firmware(**given)  # type: ignore[arg-type]


def test_a_refused_file_leaves_nothing(kernels: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="operator BATCH_MATMUL"):
        firmware(STRANGERS / "keras-transformer-int8.tflite", to=tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_other_sources_than_the_known_ones_are_not_used(
    kernels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_of(kernels)
    assert digest_of(files) == SOURCES_SHA256
    changed = tmp_path / "pulseproof" / kernels.name
    for name, content in files.items():
        (changed / name).parent.mkdir(parents=True, exist_ok=True)
        (changed / name).write_bytes(content + b" " * name.endswith("arm_convolve_s8.c"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(InputError, match="is not the one that is known here"):
        firmware(FILE, to=tmp_path / "new")
    with pytest.raises(InputError) as raised:  # what was wrong is gone, and is asked for again
        firmware(FILE, to=tmp_path / "new")
    assert raised.value.mend == ASK and not (tmp_path / "new").exists()
