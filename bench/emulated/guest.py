"""What runs inside an emulated system to check it: ``python3.11 guest.py FOLDER ENGINE=FILE...``

In: a folder with ``signals.npy`` and probe files, and with the runtime room on PYTHONPATH. Out: the scores of each file
beside it (``<file>.npy``), and on standard output JSON with the core's capability word as the emulated kernel gives it
(``hwcap``, AT_HWCAP of getauxval). Around each inference it asks for the count of instructions.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

import numpy as np

from runtime.engines import open_engine

AT_HWCAP = 16
ROUNDS = 20  # inferences of the first signal whose counts are compared


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
    libc = ctypes.CDLL(None)
    libc.getauxval.restype = ctypes.c_ulong
    sys.stdout.write(json.dumps({"hwcap": libc.getauxval(AT_HWCAP), "pid": os.getpid()}))


if __name__ == "__main__":
    main()
