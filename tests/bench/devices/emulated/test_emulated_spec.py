"""What an emulated core is, what it gets of a bundle, and what its checks refuse: without emulating anything."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.emulated.checks import ENGINES
from pulseproof.bench.devices.emulated.cores import CORES, QEMU
from pulseproof.bench.devices.emulated.features import capabilities, wrong_features
from pulseproof.bench.devices.emulated.guest import cpuid_words
from pulseproof.bench.devices.emulated.packages import MIRROR, WHEEL_TAGS, mirror
from pulseproof.bench.devices.emulated.probes import signals, write_probes
from pulseproof.bench.devices.emulated.run import run_emulated
from pulseproof.bench.devices.emulated.system import _closed, clean_environment
from pulseproof.bench.devices.part import choose, make_part
from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import Part
from pulseproof.core.errors import InputError
from pulseproof.core.study import BenchSpec, PartSpec
from pulseproof.runtime.score import score
from pulseproof.runtime.wire.bundle import open_bundle
from tests.bench.making import make_bundle

BOTH = ("onnx", "tflite")
# What qemu 7.2 says of its cores: AT_HWCAP, and the registers of CPUID.
HWCAPS = {"cortex-a53": 0x8FB, "cortex-a72": 0x8FB, "cortex-a76": 0x119FFB, "armhf": 0x1FB8D7}
HASWELL = {
    **{"1.0.eax": 0x306C1, "1.0.ecx": 0xFED83203, "1.0.edx": 0x78BFBFD, "7.0.ebx": 0x3A9, "7.0.ecx": 0, "7.1.eax": 0},
    **{"80000001.0.ecx": 0x21, "80000001.0.edx": 0x28100800},
}
NEHALEM = {
    **{"1.0.eax": 0x106A3, "1.0.ecx": 0x80982201, "1.0.edx": 0x78BFBFD, "7.0.ebx": 0, "7.0.ecx": 0, "7.1.eax": 0},
    **{"80000001.0.ecx": 1, "80000001.0.edx": 0x20100800},
}
WORDS = {name: {"hwcap": word} for name, word in HWCAPS.items()} | {"x86-haswell": HASWELL, "x86-nehalem": NEHALEM}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Two models, each attacked at two budgets and by noise; ONNX files alone."""
    make_bundle(tmp_path / "bundle", models=("cnn", "lstm"), sources=("cnn", "lstm"))
    return tmp_path / "bundle"


@pytest.mark.parametrize("core", CORES)
def test_the_features_of_a_core_are_those_that_qemu_emulates(core: str) -> None:
    assert wrong_features(CORES[core], WORDS[core]) == []


@pytest.mark.parametrize(
    ("core", "words", "wrong"),
    [
        ("cortex-a76", WORDS["cortex-a72"], ["asimddp", "asimdhp", "asimdrdm", "atomics", "dcpop", "fphp", "lrcpc"]),
        ("cortex-a72", WORDS["cortex-a76"], ["asimddp", "asimdhp", "asimdrdm", "atomics", "dcpop", "fphp", "lrcpc"]),
        ("cortex-a72", {"hwcap": HWCAPS["cortex-a72"] | 1 << 22}, ["sve"]),
        ("armhf", {"hwcap": HWCAPS["armhf"] & ~(1 << 12)}, ["neon"]),
        ("x86-haswell", HASWELL | {"7.0.ecx": 1 << 11}, ["avx512_vnni"]),
        ("x86-haswell", HASWELL | {"7.1.eax": 1 << 4}, ["avx_vnni"]),
        ("x86-haswell", HASWELL | {"7.0.ebx": 0x3A9 & ~(1 << 5)}, ["avx2"]),
        ("x86-haswell", HASWELL | {"1.0.eax": 0xA10F11}, ["signature 0xa10f11"]),
        ("x86-nehalem", NEHALEM | {"1.0.ecx": 0x80982201 | 1 << 25}, ["aes"]),
    ],
)
def test_features_of_another_core_are_named(core: str, words: dict[str, int], wrong: list[str]) -> None:
    assert wrong_features(CORES[core], words) == wrong


def test_a_capability_word_has_the_kernels_names() -> None:
    assert capabilities("arm64", {"hwcap": 1 << 20 | 1 << 7 | 3}) == {"fp", "asimd", "crc32", "asimddp"}
    assert capabilities("armhf", {"hwcap": 1 << 12 | 1 << 19}) == {"neon", "vfpd32"}
    none = dict.fromkeys(HASWELL, 0)
    assert capabilities("amd64", none | {"1.0.ecx": 1 << 12 | 1 << 28, "7.0.ebx": 1 << 5}) == {"fma", "avx", "avx2"}
    assert capabilities("amd64", none | {"1.0.ecx": 1 << 27}) == set(), "osxsave is the kernel's own"


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="CPUID is an instruction of x86")
def test_the_guest_reads_what_the_kernel_prints_of_this_processor() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).partition(":")[2].split())
    found = capabilities("amd64", cpuid_words())
    assert {"fpu", "sse2", "lm"} <= found
    # A hypervisor or the kernel may hide a flag that the instruction shows, and some are not features of instructions.
    arithmetic = {"ssse3", "sse4_1", "fma", "avx", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "f16c", "bmi2"}
    assert found & arithmetic == flags & arithmetic


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_cpuinfo_says_part_features_and_that_it_is_emulated(core: Any) -> None:
    found = dict((part.strip() for part in line.split(":", 1)) for line in core.cpuinfo().splitlines() if ":" in line)
    if core.architecture == "amd64":
        family, model, stepping = (int(found[key]) for key in ("cpu family", "model", "stepping"))
        assert (model >> 4) << 16 | family << 8 | (model & 15) << 4 | stepping == core.part
        assert (tuple(found["flags"].split()), found["model name"]) == (core.features, f"{core.name} under qemu-user")
    else:
        assert int(found["CPU part"], 16) == core.part
        assert (tuple(found["Features"].split()), found["Hardware"]) == (core.features, "qemu-user")
    assert core.architecture in WHEEL_TAGS
    assert core.qemu == QEMU[core.architecture]


def test_no_path_of_an_x86_system_leads_to_this_machine(tmp_path: Path) -> None:
    for name in ("lib/x86_64-linux-gnu/ld.so", "usr/lib/x86_64-linux-gnu/libffi.so.8.1", "usr/bin/python3.11"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld.so")
    (tmp_path / "usr/lib/x86_64-linux-gnu/libffi.so.8").symlink_to("libffi.so.8.1")
    _closed(tmp_path)
    for name in ("lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/ld.so"):
        assert (tmp_path / name).read_text() == "lib/x86_64-linux-gnu/ld.so"
        assert tmp_path in (tmp_path / name).resolve().parents
    for name in ("lib/x86_64-linux-gnu/libffi.so.8", "usr/lib/x86_64-linux-gnu/libffi.so.8"):
        assert (tmp_path / name).read_text() == "usr/lib/x86_64-linux-gnu/libffi.so.8.1"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("sources.list", "deb http://mirror.example.org/debian bookworm main\n", "http://mirror.example.org/debian"),
        ("sources.list", "deb [arch=amd64] https://a.example/debian/ sid main\n", "https://a.example/debian"),
        ("sources.list", "# deb http://old.example/debian sid main\n", None),
        ("sources.list", "deb http://archive.ubuntu.com/ubuntu noble main\n", None),
        (
            "sources.list.d/x.sources",
            "Types: deb\nURIs: http://b.example/debian\nSuites: x\n",
            "http://b.example/debian",
        ),
        ("sources.list.d/x.sources", "URIs: http://b.example/debian-security\n", None),
    ],
)
def test_the_mirror_is_the_machines_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, expected: str | None
) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    if expected is None:
        with pytest.raises(InputError, match="uses no Debian mirror"):
            mirror(tmp_path)
    else:
        assert mirror(tmp_path) == expected
    monkeypatch.setenv(MIRROR, "http://named.example/debian")
    assert mirror(tmp_path) == "http://named.example/debian"


def test_the_probes_score_here_as_arithmetic_says(tmp_path: Path) -> None:
    """On whichever processor: one with AVX2 and without VNNI saturates eight-bit weights, in a known way."""
    exact, saturated = (write_probes(tmp_path, BOTH, saturates) for saturates in (False, True))
    assert [probe.file.name for probe in exact] == [
        "float.onnx",
        "int8.onnx",
        "int7.onnx",
        "float.tflite",
        "int8.tflite",
    ]
    for probe, other in zip(exact, saturated, strict=True):
        given = score(probe.file, signals(), ENGINES["arm64"][probe.file.suffix[1:]])
        assert np.ptp(given) > 10 * probe.within, "scores that are all alike would prove nothing"
        if probe.file.name == "int8.onnx":
            assert np.abs(probe.scores - other.scores).max() > 10 * probe.within, "the two could not be told apart"
            assert min(np.abs(given - each.scores).max() for each in (probe, other)) <= probe.within
        else:
            np.testing.assert_array_equal(probe.scores, other.scores)
            np.testing.assert_allclose(given, probe.scores, atol=probe.within, rtol=0)


def test_without_patterns_each_model_gets_clean_and_one_attack_on_itself(bundle: Path) -> None:
    artifacts, sets = choose(read_bundle(bundle).head, Asked(), Part())
    assert artifacts == ["cnn/onnx-fp32", "cnn/onnx-int8-static", "lstm/onnx-fp32", "lstm/onnx-int8-static"]
    assert sets == {
        "clean": artifacts,
        "pgd-cnn-0.005mV": ["cnn/onnx-fp32", "cnn/onnx-int8-static"],
        "pgd-lstm-0.005mV": ["lstm/onnx-fp32", "lstm/onnx-int8-static"],
    }


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked(only=["cnn/*-fp32"], sets=["clean"]), {"clean": ["cnn/onnx-fp32"]}),
        (
            Asked(only=["*/onnx-fp32"], sets=["pgd-{model}-0.02mV"]),
            {"pgd-cnn-0.02mV": ["cnn/onnx-fp32"], "pgd-lstm-0.02mV": ["lstm/onnx-fp32"]},
        ),
        (
            Asked(only=["lstm/onnx-fp32"], sets=["pgd-*-0.02mV"]),
            {"pgd-cnn-0.02mV": ["lstm/onnx-fp32"], "pgd-lstm-0.02mV": ["lstm/onnx-fp32"]},
        ),
    ],
)
def test_what_is_asked_for_comes_before_the_study(bundle: Path, asked: Asked, expected: dict[str, list[str]]) -> None:
    assert choose(read_bundle(bundle).head, asked, Part())[1] == expected


@pytest.mark.parametrize(
    ("asked", "formats", "said"),
    [
        (Asked(only=["gru/*"]), BOTH, "no artifact matches 'gru/*'"),
        (Asked(sets=["pgd-gru-0.02mV"]), BOTH, "no signal set matches 'pgd-gru-0.02mV'"),
        (Asked(), ("tflite",), "nothing is left to run"),
    ],
)
def test_what_matches_nothing_is_refused(bundle: Path, asked: Asked, formats: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError) as refused:
        choose(read_bundle(bundle).head, asked, Part(), formats)
    assert said in refused.value.what


def test_the_part_is_a_bundle_with_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    from pulseproof.bench.bundle import runner_archive
    from tests.bench.making import entry

    (bundle / "runner.pyz").write_bytes(runner_archive())
    head = json.loads((bundle / "bundle.json").read_text())
    head["files"]["runner.pyz"] = entry(bundle / "runner.pyz")
    head.setdefault("run", {}).update(threads=1, warmup_s=0.0, min_runs=1, min_s=0.0)
    (bundle / "bundle.json").write_text(json.dumps(head))
    part = make_part(bundle, tmp_path / "part", Asked(only=["cnn/*"]), Part())
    opened = open_bundle(part)
    assert [each.name for each in opened.artifacts] == ["cnn/onnx-fp32", "cnn/onnx-int8-static"]
    assert [each.name for each in opened.signals] == ["clean", "pgd-cnn-0.005mV"]
    assert opened.signals[1].sha256 == head["files"]["signals/pgd-cnn-0.005mV.npy"]["sha256"]


@pytest.mark.parametrize(
    ("core", "asked", "said"),
    [
        ("cortex-m4", Asked(), "no such core"),
        ("x86-haswell", Asked(minutes=1.0), "clock"),
        ("cortex-a72", Asked(minutes=1.0), "clock"),
        ("cortex-a72", Asked(threads=4), "one thread"),
    ],
)
def test_an_emulated_core_refuses_what_it_cannot_do(
    bundle: Path, tmp_path: Path, core: str, asked: Asked, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        run_emulated(core, bundle, tmp_path / "results", asked)
    assert said in refused.value.what
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("wrong", [{"records": 0}, {"sets": []}, {"sets": [""]}, {"only": [1]}, {"cores": ["a72"]}])
def test_the_study_refuses_what_it_does_not_know(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PartSpec.model_validate(wrong)


def test_the_study_gives_64_recordings_unless_it_says_otherwise() -> None:
    assert BenchSpec().emulated == PartSpec(sets=None, records=64, only=())


def test_what_is_said_of_this_processor_is_not_said_in_an_emulated_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found where OPENBLAS_CORETYPE=Haswell was set for the machine's own libraries: an emulated Nehalem ended at the
    first AVX instruction of numpy."""
    for name in ("OPENBLAS_CORETYPE", "NPY_ENABLE_CPU_FEATURES", "LD_PRELOAD", "PYTHONPATH"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("LANG", "C")
    left = clean_environment()
    assert left["LANG"] == "C"
    assert not {"OPENBLAS_CORETYPE", "NPY_ENABLE_CPU_FEATURES", "LD_PRELOAD", "PYTHONPATH"} & set(left)
