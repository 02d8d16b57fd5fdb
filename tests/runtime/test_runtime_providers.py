"""Execution providers: what an engine is asked for, what it does not offer, and no time under a wrong name."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.kinds import expect_free
from pulseproof.bench.devices.local import Here
from pulseproof.bench.devices.micro.run import run_micro
from pulseproof.bench.devices.spec import at_address, read_devices
from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.core.errors import InputError
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.runtime import engines, exact
from pulseproof.runtime.condition.providers import CPU, PROVIDERS, XNNPACK, offered, onnx_providers
from pulseproof.runtime.engines import EngineError, open_engine
from pulseproof.runtime.exact import Exact, hold
from pulseproof.runtime.runner import main
from tests.runtime import tiny_bundle as tiny

SHAPE = (tiny.LEADS, tiny.SAMPLES)
ELSEWHERE = [name for name in PROVIDERS if name not in (CPU, XNNPACK)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    return {"onnx": tiny.onnx_linear(folder / "a.onnx"), "tflite": tiny.tflite_linear(folder / "a.tflite")}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder after this machine ran it as it does by default and by XNNPACK."""
    home = tmp_path_factory.mktemp("home")
    bundle = tiny.write_two(home / "bundle")
    for provider in ((), ("--provider", XNNPACK)):
        name = Asked(provider=XNNPACK if provider else None).named("host")
        asked = ("run", str(bundle), "--out", str(home / "results" / name), "--device", name)
        assert main([*asked, "--evidence", "measured-on-host", *provider]) == 0
    return home


def result(home: Path, device: str, artifact: str, signals: str = "clean") -> dict[str, Any]:
    path = home / "results" / device / artifact.replace("/", "__") / f"{signals}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(("suffix", "provider"), [("onnx", CPU), ("tflite", CPU), ("tflite", XNNPACK)])
def test_what_is_offered_here_gives_the_scores_of_the_default(
    suffix: str, provider: str, files: dict[str, Path]
) -> None:
    x = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    found = open_engine(files[suffix], provider=provider).run(x)
    np.testing.assert_allclose(found, open_engine(files[suffix]).run(x), rtol=1e-5, atol=1e-5)


def test_cpu_of_litert_is_without_its_delegate(files: dict[str, Path]) -> None:
    taken = {}
    for provider in (CPU, XNNPACK):
        opened: Any = open_engine(files["tflite"], provider=provider)
        taken[provider] = [one["op_name"] for one in opened._interpreter._get_ops_details()].count("DELEGATE")
    assert taken[CPU] == 0 < taken[XNNPACK]


def test_a_file_of_which_the_delegate_takes_nothing_is_refused_with_that(tmp_path: Path) -> None:
    path = tiny.tflite_recurrent(tmp_path / "recurrent.tflite")
    taken = [one["op_name"] for one in open_engine(path)._interpreter._get_ops_details()]  # type: ignore[attr-defined]
    if "DELEGATE" in taken:
        assert open_engine(path, provider=XNNPACK)
        return
    with pytest.raises(EngineError, match="xnnpack takes none of its operators"):
        open_engine(path, provider=XNNPACK)


class SomewhereElse:
    """ONNX Runtime as on a machine with another provider: ``left`` are those that a session has in the end, ``parts``
    who got its operators."""

    ExecutionMode = SimpleNamespace(ORT_SEQUENTIAL=0)

    def __init__(self, left: list[str], parts: list[str]) -> None:
        self.left, self.parts, self.asked = left, parts, []
        self.entries: dict[str, str] = {}

    def SessionOptions(self) -> Any:  # noqa: N802
        return SimpleNamespace(add_session_config_entry=self.entries.__setitem__)

    def InferenceSession(self, path: str, options: Any, providers: list[Any]) -> Any:  # noqa: N802
        self.asked += providers
        value = SimpleNamespace(name="x", type="tensor(float)", shape=[1, *SHAPE])
        return SimpleNamespace(
            get_providers=lambda: self.left,
            get_provider_graph_assignment_info=lambda: [SimpleNamespace(ep_name=part) for part in self.parts],
            get_inputs=lambda: [value],
            get_outputs=lambda: [value],
        )


@pytest.mark.parametrize(
    ("left", "parts", "said"),
    [
        (["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider", "CUDAExecutionProvider"], None),
        (["CPUExecutionProvider"], [], "cuda could not be set up"),
        (["CUDAExecutionProvider"], ["CPUExecutionProvider"], "cuda takes none of its operators"),
    ],
)
def test_a_session_that_would_compute_on_the_processor_is_refused(
    left: list[str], parts: list[str], said: str | None, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = SomewhereElse(left, parts)
    monkeypatch.setattr(engines, "import_engine", lambda name: library)
    if said is None:
        assert open_engine(files["onnx"], provider="cuda").input_shape == (1, *SHAPE)
        assert library.asked == [("CUDAExecutionProvider", {}), "CPUExecutionProvider"]
        assert library.entries == {"session.record_ep_graph_assignment_info": "1"}
    else:
        with pytest.raises(EngineError, match=said):
            open_engine(files["onnx"], provider="cuda")


def test_what_a_session_is_asked_for() -> None:
    assert onnx_providers(CPU, 4) == ["CPUExecutionProvider"]
    assert onnx_providers(XNNPACK, 4)[0] == ("XnnpackExecutionProvider", {"intra_op_num_threads": "4"})
    here = SimpleNamespace(get_available_providers=lambda: ["QNNExecutionProvider", "CPUExecutionProvider", "Other"])
    assert offered("onnx", here) == (CPU, "qnn")


def test_results_of_a_provider_say_it_and_were_held_against_the_processor(ran: Path) -> None:
    found = result(ran, "host+xnnpack", "cnn/tflite-fp32")
    assert found["status"] == "ok" and found["engine"]["provider"] == XNNPACK
    assert found["exact"]["mode"] == "reference" and found["exact"]["recordings"] == 16
    assert found["exact"]["largest"] <= 1.01 and found["exact"]["mark"] is None
    plain = result(ran, "host", "cnn/tflite-fp32")
    assert "provider" not in plain["engine"] and plain["exact"] is None


def test_an_absent_provider_is_not_applicable_and_nothing_is_run(ran: Path) -> None:
    found = result(ran, "host+xnnpack", "cnn/onnx-fp32")
    assert found["status"] == "not-applicable" and found["latency_ms"] is None
    assert found["reason"].startswith("onnxruntime ") and found["reason"].endswith("offers cpu, not xnnpack")


@pytest.mark.parametrize("provider", ELSEWHERE)
def test_the_others_are_refused_with_what_there_is(
    provider: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*asked: Any) -> None:
        raise AssertionError("an artifact was run")

    monkeypatch.setattr("pulseproof.runtime.run.run_child", never)
    bundle, out = tiny.write_two(tmp_path / "bundle"), tmp_path / "out"
    assert main(["run", str(bundle), "--out", str(out), "--device", "here", "--provider", provider]) == 0
    for artifact in ("cnn__onnx-fp32", "cnn__tflite-fp32"):
        found = json.loads((out / artifact / "pgd-0.01mV.json").read_text())
        assert found["status"] == "not-applicable" and found["reason"].endswith(f"not {provider}")
    assert (out / "device.json").is_file()
    assert "cnn/tflite-fp32: not applicable: ai_edge_litert " in capsys.readouterr().err


def test_the_table_has_both_as_devices_with_the_provider_beside_the_engine(ran: Path) -> None:
    bundle = read_bundle(ran / "bundle")
    assert [device.name for device in read_results(bundle, ran / "results")] == ["host", "host+xnnpack"]
    rows = {(row.device, row.artifact, row.method): row for row in evaluate(ran, 100, 1, 0.01).rows}
    runs = rows["host+xnnpack", "cnn/tflite-fp32", "clean"]
    assert runs.runtime is not None and runs.runtime.endswith(" (xnnpack)") and runs.auc is not None
    absent = rows["host+xnnpack", "cnn/onnx-fp32", "clean"]
    assert absent.not_applicable is not None and absent.not_applicable.startswith("onnxruntime ")
    assert (rows["host", "cnn/tflite-fp32", "clean"].runtime or "").endswith(")") is False


def test_what_a_provider_adds_is_marked(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that rounds to half floats, as accelerators do, where the processor does not."""
    real = open_engine

    def opened(path: Path, threads: int, engine: str, shape: Any, mode: str, provider: str | None) -> Any:
        found = real(path, threads, engine, shape, mode)
        if provider is None:
            return found
        return SimpleNamespace(run=lambda x: found.run(x).astype(np.float16).astype(np.float32))

    monkeypatch.setattr(exact, "open_engine", opened)
    signals = np.random.default_rng(1).normal(size=(8, 1, *SHAPE)).astype(np.float32)

    def held(tolerance: float) -> Any:
        asked = Exact("unoptimized", None, tolerance)
        take = signals.__getitem__
        return hold(files["onnx"], "onnxruntime", SHAPE, asked, take, 8, lambda done: None, "coreml")

    assert held(1e-4)["mark"] == "engine-differs" and held(1e-4)["largest"] > 1.01
    assert held(0.02)["mark"] is None


def test_a_device_with_a_provider_has_a_name_of_its_own(tmp_path: Path) -> None:
    asked = Asked(provider="qnn")
    assert asked.options() == ["--provider", "qnn"]
    assert Here(asked).name == "host+qnn" and at_address("pi@board", asked).name == "board+qnn"
    with pytest.raises(ValueError, match="as this machine is"):
        expect_free("host+qnn")
    file = tmp_path / "devices.toml"
    file.write_text('[board]\naddress = "pi@board"\nprovider = "qnn"\n')
    assert read_devices(file)[0].asked().provider == "qnn" and read_devices(file)[0].name == "board"
    file.write_text('[board]\naddress = "pi@board"\nprovider = "coremi"\n')
    with pytest.raises(InputError, match=r"no execution provider 'coremi'; there are cpu, .* did you mean 'coreml'"):
        read_devices(file)


def test_a_microcontroller_has_none_to_choose(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cortex-m4: not applicable: its kernels are compiled in"):
        run_micro("cortex-m4", tmp_path, tmp_path, Asked(provider=CPU), False, threading.Event())
