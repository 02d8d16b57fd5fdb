"""Prices on a microcontroller: what TFLite Micro and vela say, and what they get wrong without a word."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.price import child, ethos, micro, price, tflite_graph
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.export.tflite import lstm_int8
from pulseproof.export.tflite.flatbuffer import Graph, rename_ends
from pulseproof.models.nets import Cnn, Lstm
from tests.export.making import job_for, random_signals

SHAPE = (2, 160)


def lstm_file(write: Callable[[ExportJob], MadeFile], path: Path) -> Path:
    torch.manual_seed(0)
    job = job_for(Lstm(*SHAPE, 3, hidden=12), SHAPE, path)
    with torch.no_grad():
        for parameter in job.module.parameters():
            parameter.mul_(1.5)  # so that scores are not all about the bias
    write(replace(job, calibration=random_signals(20, SHAPE)))
    return path


@pytest.fixture(scope="module")
def full_lstm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lstm_file(lstm_int8.write_full, tmp_path_factory.mktemp("full") / "lstm.tflite")


def cpu_file(path: Path) -> Path:
    """int8 in and out, and between them a float logarithm, which no NPU has."""
    graph = Graph.empty()
    step = schema.QuantizationParametersT()
    step.scale, step.zeroPoint = [0.1], [-128]
    ends = [graph.tensor(name, (1, *SHAPE), np.dtype(np.int8)) for name in ("signal", "scores")]
    for at in ends:
        graph.graph.tensors[at].quantization = step
    real, log = graph.tensor("real", (1, *SHAPE)), graph.tensor("log", (1, *SHAPE))
    graph.add("DEQUANTIZE", [ends[0]], real, schema.DequantizeOptionsT(), 2)
    graph.add("LOG", [real], log)
    graph.add("QUANTIZE", [log], ends[1], schema.QuantizeOptionsT())
    graph.graph.inputs, graph.graph.outputs = [ends[0]], [ends[1]]
    graph.write(path)
    return path


def weights_behind(source: Path, path: Path) -> Path:
    """The same file with its large constants behind the flatbuffer, as ai-edge-quantizer writes those of large nets."""
    graph, behind = Graph.open(source), 1 << 16
    assert source.stat().st_size < behind
    tail = b""
    for buffer in graph.model.buffers:
        if buffer.data is not None and len(buffer.data) >= 64:
            content = bytes(np.asarray(buffer.data, np.uint8))
            buffer.offset, buffer.size, buffer.data = behind + len(tail), len(content), None
            tail += content + b"\0" * (-len(content) % 16)
    graph.write(path)
    path.write_bytes(path.read_bytes().ljust(behind, b"\0") + tail)
    return path


@pytest.mark.slow
def test_the_arena_is_enough_and_the_next_smaller_is_not(full_lstm: Path) -> None:
    found = micro.micro(full_lstm)
    assert found.fits and found.arena_bytes >= tflite_graph.tally(full_lstm).activation_bytes
    report, scores = micro._start(full_lstm, micro.GENEROUS_BYTES)
    assert scores is not None
    assert micro._runs(full_lstm, found.arena_bytes, scores)
    assert not micro._runs(full_lstm, found.arena_bytes - micro.STEP_BYTES, scores)
    # It says that it took less than it needs to start.
    assert int(micro.TOTAL.search(report)[1]) < found.arena_bytes - micro.STEP_BYTES


@pytest.mark.parametrize("needed", [64, 640, 704, 1024, 5000, 70_000])
def test_the_search_finds_the_least_arena(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(micro, "_runs", lambda path, arena, scores: tried.append(arena) or arena >= needed)
    found = micro._least(Path("any"), 600, {})
    assert max(needed, 600) <= found < max(needed, 600) + micro.STEP_BYTES and len(tried) < 30
    assert found % micro.STEP_BYTES == 0 and found in tried


def test_a_search_without_end_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micro, "_runs", lambda *_: False)
    with pytest.raises(RefusedError, match="reports an arena of 600 bytes"):
        micro._least(Path("any"), 600, {})


def test_what_is_larger_than_the_part_does_not_fit(full_lstm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arena = 4096
    monkeypatch.setattr(micro, "_least", lambda *_: arena)
    for ram, flash, fits in [(arena - 1, 2**20, False), (arena, 2**20, True), (arena, 2**10, False)]:
        monkeypatch.setattr(micro, "RAM_BYTES", ram)
        monkeypatch.setattr(micro, "FLASH_BYTES", flash)
        assert micro.micro(full_lstm).fits == fits


def test_a_hybrid_lstm_runs_and_is_wrong(tmp_path: Path) -> None:
    path = lstm_file(lstm_flatbuffer.write_dynamic, tmp_path / "hybrid.tflite")
    with pytest.raises(RefusedError, match="runs it without an error, but its scores"):
        micro.micro(path)


def test_weights_behind_the_flatbuffer_are_not_read(full_lstm: Path, tmp_path: Path) -> None:
    path = weights_behind(full_lstm, tmp_path / "behind.tflite")
    assert tflite_graph.tally(path) == tflite_graph.tally(full_lstm)
    with pytest.raises(RefusedError, match=r"scores|does not take it"):
        micro.micro(path)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({"micro": [[1.0, -2.0]], "litert": [[1.05, -2.0]], "step": 0.0}, None),
        ({"micro": [[1.0, -2.0]], "litert": [[1.2, -2.0]], "step": 0.0}, "differ from LiteRT's by 0.2"),
        ({"micro": [[1.0, -2.0]], "litert": [[1.2, -2.0]], "step": 0.1}, None),
        ({"micro": [[float("nan"), -2.0]], "litert": [[1.0, -2.0]], "step": 0.1}, "are not numbers"),
        ({"micro": [[0.0]], "litert": [[0.0]], "step": 0.0}, None),
    ],
)
def test_when_scores_are_the_same(scores: dict, verdict: str | None) -> None:
    if verdict is None:
        micro._compare(scores)
    else:
        with pytest.raises(RefusedError, match=verdict):
            micro._compare(scores)


def test_an_operator_that_tflite_micro_lacks_is_named(tmp_path: Path) -> None:
    graph = Graph.empty()
    ends = [graph.tensor(name, (1, *SHAPE)) for name in ("signal", "scores")]
    graph.add("ATAN2", [ends[0], ends[0]], ends[1])
    graph.graph.inputs, graph.graph.outputs = [ends[0]], [ends[1]]
    graph.write(tmp_path / "atan2.tflite")
    with pytest.raises(RefusedError, match=r"TFLite Micro does not take it: .*ATAN2"):
        micro.micro(tmp_path / "atan2.tflite")


def test_vela_compiles_all_of_an_lstm(full_lstm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = ethos.ethos(full_lstm)
    assert found.cpu_operators == () and found.cycles is not None and found.cycles > 1000 and found.fits
    weights = tflite_graph.tally(full_lstm).parameters
    assert weights / 2 < found.flash_bytes < 20 * weights  # compressed weights, and a command stream
    assert found.sram_bytes >= 2 * 160  # the input
    assert not list(tmp_path.iterdir())


def test_what_vela_leaves_to_the_cpu_is_named(tmp_path: Path) -> None:
    found = ethos.ethos(cpu_file(tmp_path / "log.tflite"))
    assert found.cpu_operators == ("DEQUANTIZE", "LOG", "QUANTIZE")
    assert found.cycles is None and not found.fits


def test_vela_is_not_asked_about_float(tmp_path: Path) -> None:
    path = lstm_file(lstm_int8.write_static, tmp_path / "static.tflite")
    with pytest.raises(RefusedError, match="its input and output are not integer"):
        ethos.ethos(path)


@pytest.mark.parametrize("name", ["ethos", "micro"])
def test_a_tool_that_never_ends_is_a_reason(name: str, full_lstm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = {"ethos": ethos, "micro": micro}[name]
    monkeypatch.setattr(tool, "LIMIT_S", 0.001)
    with pytest.raises(RefusedError, match=r"still at work after 0.001 s"):
        getattr(tool, name)(full_lstm)


@pytest.mark.slow
def test_a_whole_price(full_lstm: Path) -> None:
    found = price(full_lstm, nn.Identity())
    assert found.micro is not None and found.ethos is not None
    assert found.unpriced == {"c_code": "only trees are written as C here"}


@pytest.mark.slow
def test_an_int8_convolutional_net_runs_on_both(tmp_path: Path) -> None:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import TFLOperationName

    torch.manual_seed(0)
    paths = [tmp_path / f"{name}.tflite" for name in ("float", "int8")]
    with quiet():
        tflite_files.write_float(job_for(Cnn(*SHAPE, 3, width=8), SHAPE, paths[0]))
        tool = quantizer.Quantizer(str(paths[0]))
        tool.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        ranges = tool.calibrate({"serving_default": [{"signal": signal[None]} for signal in random_signals(8, SHAPE)]})
        paths[1].write_bytes(tool.quantize(ranges, enable_progress_report=False).quantized_model)
    rename_ends(paths[1])
    whole, small = (price(path, nn.Identity()) for path in paths)
    assert (whole.parameters, whole.macs) == (small.parameters, small.macs)
    assert small.activation_bytes * 3 < whole.activation_bytes
    assert whole.micro is not None and small.micro is not None
    assert small.micro.arena_bytes < whole.micro.arena_bytes
    assert whole.ethos is None and "not integer" in whole.unpriced["ethos"]
    assert small.ethos is not None and small.ethos.cpu_operators == () and small.ethos.cycles > small.macs / 128


PYTHON = sys.executable
CHILDREN = {
    "aborts": ([PYTHON, "-c", "import os; os.abort()"], "the tool was ended by SIGABRT"),
    "never ends": ([PYTHON, "-c", "import time; time.sleep(600)"], "the tool was still at work after 2 s"),
    "is not there": (["no-such-tool-anywhere"], "the tool does not start here: No such file"),
}


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_that_fails_is_a_sentence(name: str, tmp_path: Path) -> None:
    command, reason = CHILDREN[name]
    with pytest.raises(RefusedError, match=reason):
        child.run("the tool", command, tmp_path, 2)


@pytest.mark.slow
def test_a_child_takes_its_children_with_it(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, pathlib, time\n"
        "other = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('pid').write_text(str(other.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(RefusedError, match="still at work"):
        child.run("the tool", [PYTHON, "-c", code], tmp_path, 3)
    pid = int((tmp_path / "pid").read_text())
    if not Path("/proc/self").exists():
        pytest.skip("there is no /proc here to see processes in")
    # Killed is not gone: the kernel may take a moment, the more of it the busier the machine. The child sleeps 600 s.
    waited_until = time.monotonic() + 60
    while _is_alive(pid) and time.monotonic() < waited_until:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    """False when there is no such process any more, or only its status is left (a zombie, or dead)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_has_a_folder_and_a_status(tmp_path: Path) -> None:
    done = child.run("the tool", [PYTHON, "-c", "import os; print(os.getcwd()); raise SystemExit(3)"], tmp_path, 60)
    assert done.returncode == 3 and os.path.samefile(done.stdout.strip(), tmp_path)  # noqa: PTH121
