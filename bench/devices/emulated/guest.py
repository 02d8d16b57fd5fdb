"""What runs inside an emulated system to check it: ``python3.11 guest.py FOLDER ENGINE=FILE...``

In: a folder with ``signals.npy`` and probe files, and with the runtime room on PYTHONPATH. Out: the scores of each file
beside it (``<file>.npy``), and on standard output JSON with the core's capability words, as the emulated kernel gives
them on ARM (``hwcap``, AT_HWCAP of getauxval), as the emulated CPUID instruction gives them on x86; and the
``libraries`` that are loaded. Around each inference it asks for the count of instructions.
"""

import ctypes
import json
import mmap
import os
import platform
import sys
from pathlib import Path

import numpy as np

from pulseproof.runtime.engines import open_engine

AT_HWCAP = 16
ROUNDS = 20  # inferences of the first signal whose counts are compared
# void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]), by the calling convention of System V: push rbx;
# mov eax, edi; mov ecx, esi; mov r8, rdx; cpuid; mov [r8], eax; mov [r8+4], ebx; mov [r8+8], ecx; mov [r8+12], edx;
# pop rbx; ret. /proc/cpuinfo is a file of ours and flags are what it says; the instruction says what the core has.
CPUID = bytes.fromhex("53 89f8 89f1 4989d0 0fa2 418900 41895804 41894808 4189500c 5b c3")
LEAVES = ((1, 0), (7, 0), (7, 1), (0x80000001, 0))
REGISTERS = ("eax", "ebx", "ecx", "edx")


def main() -> None:
    """Score every file on all signals, then count the first signal's inference a few times."""
    folder = Path(sys.argv[1])
    signals = np.load(folder / "signals.npy")
    for argument in sys.argv[2:]:
        name, _, file = argument.partition("=")
        engine = open_engine(folder / file, 1, name, signals.shape[1:])
        np.save(folder / f"{file}.npy", np.concatenate([engine.run(signal[None]) for signal in signals]))
        for _ in range(ROUNDS):
            os.getppid()
            engine.run(signals[:1])
            os.getppid()
    libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    words = cpuid_words() if platform.machine() == "x86_64" else {"hwcap": hwcap()}
    sys.stdout.write(json.dumps({"words": words, "libraries": sorted(libraries), "pid": os.getpid()}))


def hwcap() -> int:
    """The kernel's capability word."""
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    return int(libc.getauxval(AT_HWCAP))


def cpuid_words() -> dict[str, int]:
    """The registers of CPUID, ``<leaf, hexadecimal>.<subleaf>.<register>`` each."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(CPUID)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    call = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)(address)
    words = {}
    for leaf, subleaf in LEAVES:
        out = (ctypes.c_uint32 * len(REGISTERS))()
        call(leaf, subleaf, ctypes.addressof(out))
        words.update({f"{leaf:x}.{subleaf}.{name}": int(value) for name, value in zip(REGISTERS, out, strict=True)})
    return words


if __name__ == "__main__":
    main()
