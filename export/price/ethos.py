"""What Arm's compiler for the Ethos-U55, vela, estimates for a TFLite file.

In: a ``.tflite`` file with integer input and output. Out: :class:`~export.manifest.Ethos`, or RefusedError with the
reason. The part is an Ethos-U55 with 128 MACs a cycle, in the system and memory mode that vela itself takes when
nothing else is said (``Arm/vela.ini`` in its package), compiled for 256 KiB of SRAM. Cycles are the compiler's
estimate of that system: they are not milliseconds of any chip.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from ai_edge_litert.schema_py_generated import TensorType

from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import Ethos
from pulseproof.export.price import child
from pulseproof.export.price.micro import FLASH_BYTES, RAM_BYTES
from pulseproof.export.tflite.flatbuffer import Graph

ACCELERATOR = "ethos-u55-128"
SYSTEM = "Ethos_U55_High_End_Embedded"  # 500 MHz, SRAM 4 GB/s, flash 0.5 GB/s
MEMORY = "Shared_Sram"  # activations in SRAM, weights read from flash
LIMIT_S = 60
KIB = 1024
NPU = "ethos-u"
INTEGERS = (TensorType.INT8, TensorType.UINT8, TensorType.INT16)
OWN_COUNT = re.compile(r"CPU operators = (\d+)")


def ethos(path: Path) -> Ethos:
    """The price of a file. Raises RefusedError."""
    if path.suffix != ".tflite":
        raise RefusedError("vela reads TFLite files only")
    _check_ends(path)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(path, folder / "model.tflite")
        options = {
            "--accelerator-config": ACCELERATOR,
            "--config": "Arm/vela.ini",
            "--system-config": SYSTEM,
            "--memory-mode": MEMORY,
            "--arena-cache-size": str(RAM_BYTES),
            "--output-dir": "out",
        }
        arguments = [part for option in options.items() for part in option]
        command = [sys.executable, "-m", "ethosu.vela", "model.tflite", *arguments]
        done = child.run("vela", command, folder, LIMIT_S)
        summaries = list((folder / "out").glob("*_summary_*.csv"))
        if done.returncode != 0 or len(summaries) != 1:
            said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            raise RefusedError(f"vela does not compile it: {child.short(said)}")
        with summaries[0].open(newline="") as file:
            summary = next(csv.DictReader(file))
        left = left_to_cpu(folder / "out" / "model_vela.tflite")
    counted = OWN_COUNT.search(done.stdout)
    if counted is not None and int(counted[1]) != len(left):
        raise RefusedError(f"vela counts {counted[1]} operators on the CPU, the file that it wrote has {len(left)}")
    sram = round(float(summary["sram_memory_used"]) * KIB)
    flash = round(float(summary["off_chip_flash_memory_used"]) * KIB)
    return Ethos(
        version=metadata.version("ethos-u-vela"),
        accelerator=ACCELERATOR,
        system=f"{SYSTEM}, {MEMORY}, {RAM_BYTES // KIB} KiB",
        cycles=None if left else round(float(summary["cycles_total"])),
        sram_bytes=sram,
        flash_bytes=flash,
        cpu_operators=left,
        fits=not left and sram <= RAM_BYTES and flash <= FLASH_BYTES,
    )


def _check_ends(path: Path) -> None:
    graph = Graph.open(path).graph
    ends = {"input": graph.inputs, "output": graph.outputs}
    others = [name for name, side in ends.items() if any(graph.tensors[at].type not in INTEGERS for at in side)]
    if others:
        verb = "is" if len(others) == 1 else "are"
        raise RefusedError(f"its {' and '.join(others)} {verb} not integer: an Ethos-U computes in integers only")


def left_to_cpu(path: Path) -> tuple[str, ...]:
    """The operators of a file that vela wrote which are not the Ethos-U's own, in the order in which they run."""
    graph = Graph.open(path)
    codes = [graph.model.operatorCodes[operator.opcodeIndex] for operator in graph.graph.operators]
    return tuple(
        name for name, code in zip(graph.operators(), codes, strict=True) if not _is_npu(name, code.customCode)
    )


def _is_npu(name: str, custom: bytes | str | None) -> bool:
    custom = custom.decode() if isinstance(custom, bytes) else custom
    return name == "CUSTOM" and custom == NPU
