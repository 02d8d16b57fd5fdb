"""Firmware on this machine and on emulated cores against LiteRT's reference kernels: not a byte may differ."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import TensorType

from pulseproof.core.errors import InputError
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.firmware.build import build_for, build_here
from pulseproof.firmware.cores import MICRO_CORES
from pulseproof.firmware.emulator import GuestError, layers_on, run_on
from pulseproof.firmware.graph import NotInFirmwareError
from pulseproof.firmware.project import MadeProject, write_project
from tests.firmware.making import STRANGERS, Reference, given_by, recordings, write_lstm

# A convolution with a softmax; depthwise and HARD_SWISH; concatenation, MUL and REDUCE_MAX; blocks and batches;
# LOGISTIC; an LSTM of Keras, its state not at zero. What our own nets are made of is in these.
FILES = ("cnn-int8-io", "separable-int8", "inception-int8", "dilated-int8", "squeeze-excite-int8", "legacy-lstm-int8")


@pytest.fixture(scope="module")
def lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lstm(tmp_path_factory.mktemp("lstm") / "lstm.tflite")


@pytest.fixture(scope="module")
def small(kernels: Path, tmp_path_factory: pytest.TempPathFactory) -> MadeProject:
    return write_project(STRANGERS / "keras-cnn-int8-io.tflite", tmp_path_factory.mktemp("small"), kernels, "small")


def test_every_operator_gives_what_the_reference_kernel_gives(
    lstm: Path, kernels: Path, objects: dict[str, Path], tmp_path: Path
) -> None:
    kinds = set()
    for path in (lstm, *(STRANGERS / f"keras-{name}.tflite" for name in FILES)):
        made = write_project(path, tmp_path / path.stem, kernels, path.stem)
        program = build_here(made, tmp_path / f"{path.stem}.run", objects["host"], traced=True)
        # A linear layer that rounds twice differs in one score of some hundred: of the smallest file there are many.
        signals = recordings(made.entrance, 300 if path == lstm else 3)
        found, at, reference = given_by(program, signals), 0, Reference(path, made)
        for recording in signals:
            reference.run(recording)
            for kind, expected in reference.tensors():
                got = found[at : at + len(expected)]
                assert np.array_equal(got, expected), f"{path.stem}: {kind} differs in {np.sum(got != expected)} bytes"
                at += len(expected)
                kinds.add(kind)
        assert at == len(found)
    assert {"LOGISTIC", "HARD_SWISH", "UNIDIRECTIONAL_SEQUENCE_LSTM", "SPACE_TO_BATCH_ND", "DEPTHWISE_CONV_2D"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cortex-m33", "cortex-m55"])  # an M7 runs the code of an M4, which other tests have
def test_a_core_gives_what_this_machine_gives(
    name: str, small: MadeProject, objects: dict[str, Path], tmp_path: Path, tools: None
) -> None:
    core, signals = MICRO_CORES[name], recordings(small.entrance)
    expected = given_by(build_here(small, tmp_path / "predict", objects["host"]), signals).reshape(len(signals), -1)
    program = build_for(core, small, tmp_path / "firmware.elf", objects[name])
    found = run_on(core, program.elf, signals, small.exit.size)
    assert np.array_equal(found.scores, expected)
    assert program.flash_bytes > small.constant_bytes and program.ram_bytes > small.arena_bytes
    assert 64 < found.stack_bytes < 8192
    traced = build_for(core, small, tmp_path / "traced.elf", objects[name], traced=True)
    layers, _ = layers_on(core, traced.elf, signals, [one.size for one in small.outputs])
    # Apart by the calls between operators, and by what a tick of up to 50 instructions leaves open.
    assert np.abs(layers.sum(axis=1) - found.instructions).max() < 100 * len(small.kinds)
    convolutions = [at for at, kind in enumerate(small.kinds) if kind == "CONV_2D"]
    assert layers[:, convolutions].sum() > 0.5 * layers.sum()


@pytest.mark.parametrize(
    ("body", "limit_s", "said"),
    [
        ("for (;;) ;", 3.0, "still at work after 3 s"),
        ("return *(volatile int *)0xF0000000u;", 60.0, "stops at a fault"),
        ("return -1;", 60.0, "a kernel refused its arguments"),
    ],
)
def test_a_hang_a_fault_and_a_refusal_are_told(
    body: str, limit_s: float, said: str, small: MadeProject, objects: dict[str, Path], tmp_path: Path, tools: None
) -> None:
    place = tmp_path / "model.c"
    place.write_text(
        f'#include "pulseproof_model.h"\nint pulseproof_predict(const int8_t *in, int8_t *out) {{ {body} }}\n'
    )
    broken = replace(small, sources=(str(place.resolve()),), kernels=())
    core = MICRO_CORES["cortex-m4"]
    program = build_for(core, broken, tmp_path / "broken.elf", objects[core.name])
    with pytest.raises(GuestError, match=said):
        run_on(core, program.elf, recordings(small.entrance, 1), small.exit.size, limit_s)


def test_a_count_that_is_off_is_not_believed(
    small: MadeProject, objects: dict[str, Path], tmp_path: Path, tools: None
) -> None:
    core = MICRO_CORES["cortex-m4"]
    place = tmp_path / "model.c"
    place.write_text(
        '#include "pulseproof_model.h"\nint pulseproof_predict(const int8_t *i, int8_t *o) { return 0; }\n'
    )
    broken = replace(small, sources=(str(place.resolve()),), kernels=())
    program = build_for(core, broken, tmp_path / "quick.elf", objects[core.name])
    assert run_on(core, program.elf, recordings(small.entrance, 1), small.exit.size).instructions.max() < 200
    with pytest.raises(GuestError, match=r"a loop of 2,000,000 instructions counts 1,[0-9,]+: the count is not"):
        wrong = replace(core, clock_hz=core.clock_hz * 2)
        run_on(wrong, program.elf, recordings(small.entrance, 1), small.exit.size)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("keras-transformer-int8", "operator BATCH_MATMUL "),
        ("keras-pooled-int8", "operator DEQUANTIZE "),
        ("keras-cnn-float32", "it takes float32 numbers, not int8 ones"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(name: str, said: str, kernels: Path, tmp_path: Path) -> None:
    with pytest.raises(NotInFirmwareError, match=re.escape(said)):
        write_project(STRANGERS / f"{name}.tflite", tmp_path / "project", kernels, name)
    assert not (tmp_path / "project").exists()


def test_a_size_that_is_not_what_an_operator_gives_is_refused(lstm: Path, kernels: Path, tmp_path: Path) -> None:
    """A stranger's file may declare less than is computed: what is written beyond it would be another's memory."""
    tried = 0
    for path in (lstm, *(STRANGERS / f"keras-{name}.tflite" for name in ("separable-int8", "inception-int8"))):
        for operator in Graph.open(path).graph.operators:
            graph = Graph.open(path)
            output = graph.graph.tensors[int(operator.outputs[0])]
            if output.type != TensorType.INT8 or max(output.shape) < 2:
                continue
            output.shape = [max(1, int(size) - 1) for size in output.shape]
            (tmp_path / "small.tflite").write_bytes(graph.packed())
            with pytest.raises(InputError):
                write_project(tmp_path / "small.tflite", tmp_path / "project", kernels, "small")
            tried += 1
    assert tried > 30 and not (tmp_path / "project").exists()


def test_a_file_that_is_none_is_bad_input(kernels: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.tflite").write_bytes((STRANGERS / "keras-cnn-int8-io.tflite").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"torn\.tflite"):
        write_project(tmp_path / "torn.tflite", tmp_path / "project", kernels, "torn")


@pytest.mark.slow
def test_the_project_builds_by_its_own_cmake_for_this_machine_and_a_core(
    small: MadeProject, tmp_path: Path, tools: None
) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed here: .ci/run names the packages")
    core, signals = MICRO_CORES["cortex-m4"], recordings(small.entrance)
    quick = "-DCMAKE_C_FLAGS_RELEASE=-O1"  # nobody waits for -O3 here
    cross = ["-DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake", f"-DPULSEPROOF_CORE={core.name}"]
    for folder, options in (("build", []), ("build-m4", cross)):
        for command in (["cmake", "-B", folder, quick, *options], ["cmake", "--build", folder]):
            done = subprocess.run(command, cwd=small.folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    expected = given_by(small.folder / "build" / "predict", signals).reshape(len(signals), -1)
    found = run_on(core, small.folder / "build-m4" / "pulseproof.elf", signals, small.exit.size)
    assert np.array_equal(found.scores, expected)
    assert {path.name for path in small.folder.glob("*/LICENSE.txt")} == {"LICENSE.txt"}
    assert "Apache License" in (small.folder / "cmsis-nn" / "LICENSE.txt").read_text()
