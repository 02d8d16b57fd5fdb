"""An ``ssh`` that lies: it answers each command itself, as an honest device would, but one step in the way it is told.

    python lying_ssh.py PIDS LIE STEP [ssh's own arguments] COMMAND

``PIDS``: a folder that gets a file called after each of its processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

CONTROL = "\x1b[31m\x07\u202eevil\r"
DEVICE = json.dumps({"format": 1, "name": "b", "runs": []}).encode()
KNOWS = {"python": [3, 11], "modules": ["numpy", "onnxruntime", "ai_edge_litert"], "free": 10**11}


def say(data: bytes | str) -> None:
    """On standard output, at once."""
    sys.stdout.buffer.write(data if isinstance(data, bytes) else data.encode())
    sys.stdout.buffer.flush()


def listed(name: str, content: bytes) -> bytes:
    """A stream of one file."""
    entry = [len(content), hashlib.sha256(content).hexdigest()]
    return json.dumps({"files": {name: entry}}).encode() + b"\n" + content


def step_of(arguments: list[str]) -> str:
    """Which step a command belongs to."""
    if arguments[:2] == ["sh", "-c"]:
        script = arguments[2]
        return "home" if "$HOME" in script else "clean" if "rm -rf" in script else "put" if "cat >" in script else "own"
    if arguments[:1] == ["test"]:
        return "test"
    return "look" if arguments[1] == "-c" else arguments[2]


def answer(step: str) -> bytes:
    """What an honest device answers."""
    if step in ("put", "take"):
        sys.stdin.buffer.read()
    elif step == "give":
        sys.stdin.buffer.readline()
    answers = {"home": b"/home/pi", "look": json.dumps(KNOWS).encode(), "put": b"ours\n", "have": b'{"files": {}}'}
    answers |= {"start": b"started\n", "follow": b"[1/1] one/onnx-fp32: ok\n", "give": listed("device.json", DEVICE)}
    return {**answers, "clean": b"removed\n", "own": b"ours\n"}.get(step, b"")


def complain(text: str) -> None:
    """On standard error, at once."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def noise(count: int) -> None:
    """So many bytes on standard error, as ssh -vvv says them."""
    complain("\n".join([f"debug1: {'x' * 91}"] * (count // 100)))


def endless(piece: bytes) -> Iterator[None]:
    while True:
        say(piece)
        yield


class Lies:
    """Each takes the step and the line that opens an answer."""

    @staticmethod
    def noisy(step: str, line: str) -> int:
        """As ssh -vvv: 100 KiB on standard error before, between and after."""
        noise(100 << 10)
        say(line)
        noise(100 << 10)
        say(answer(step))
        noise(100 << 10)
        return 0

    @staticmethod
    def greets(step: str, line: str) -> int:
        say(f"Welcome to {CONTROL} this board\nlast login: never" + line)
        say(answer(step))
        return 0

    @staticmethod
    def greets_without_end(step: str, line: str) -> int:
        for _ in endless(b"Welcome\n" * 4096):
            pass
        return 0

    @staticmethod
    def no_shell(step: str, line: str) -> int:
        say(f"This account is {CONTROL} not available.\n")
        return 1

    @staticmethod
    def endless(step: str, line: str) -> int:
        say(line)
        for _ in endless(b"x" * (1 << 16)):
            pass
        return 0

    @staticmethod
    def endless_lines(step: str, line: str) -> int:
        say(line)
        for _ in endless(f"{CONTROL * 8}\n".encode() * 512):
            pass
        return 0

    @staticmethod
    def endless_errors(step: str, line: str) -> int:
        say(line)
        while True:
            noise(1 << 16)

    @staticmethod
    def silent(step: str, line: str) -> int:
        time.sleep(600)
        return 0

    @staticmethod
    def silent_after_the_line(step: str, line: str) -> int:
        say(line)
        time.sleep(600)
        return 0

    @staticmethod
    def stays(step: str, line: str) -> int:
        """Answers, says that this was all, and does not end, not even when it is asked to."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(line)
        say(answer(step))
        os.close(1)
        os.close(2)
        time.sleep(600)
        return 0

    @staticmethod
    def drips(step: str, line: str) -> int:
        say(line)
        while True:
            say(b" ")
            time.sleep(0.05)

    @staticmethod
    def closes_its_input(step: str, line: str) -> int:
        os.close(0)
        say(line)
        complain(f"error: no room {CONTROL}")
        return 2

    @staticmethod
    def fails(step: str, line: str) -> int:
        say(line)
        say(answer(step))
        complain(f"Traceback:\nerror: {CONTROL} it broke")
        noise(4096)
        return 77

    @staticmethod
    def is_killed(step: str, line: str) -> int:
        say(line)
        say(answer(step))
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    @staticmethod
    def drops(step: str, line: str) -> int:
        say(line)
        complain(f"Connection {CONTROL} closed")
        return 255

    @staticmethod
    def says_nothing(step: str, line: str) -> int:
        """Ends well and did nothing."""
        say(line)
        return 0

    @staticmethod
    def is_lost(step: str, line: str) -> int:
        """As a run that was killed."""
        say(line)
        return 3


def lies(said: bytes) -> Callable[[str, str], int]:
    """Answers this."""

    def lie(step: str, line: str) -> int:
        say(line)
        with suppress(OSError):
            answer(step)
        say(said)
        return 0

    return lie


def damaged(seed: int) -> Callable[[str, str], int]:
    """Answers what an honest device would, damaged at random, and ends as it likes."""
    import random

    chance = random.Random(seed)

    def lie(step: str, line: str) -> int:
        said = bytearray(line.encode() + answer(step))
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            at = chance.randrange(len(said) + 1)
            if chance.random() < 0.25:
                del said[at : at + chance.choice((1, 4, len(said)))]
            elif chance.random() < 0.5:
                said[at : at + 1] = chance.randbytes(1)
            else:
                piece = said[chance.randrange(len(said) + 1) :] or b"\0"
                said[at:at] = chance.choice((piece, chance.randbytes(8), b"9" * 400, b"[" * 2000))
        say(bytes(said))
        return chance.choice((0, 0, 0, 1, 3, 255))

    return lie


def knows(**fields: object) -> bytes:
    return json.dumps({**KNOWS, **fields}).encode()


SAID: dict[str, bytes] = {
    "deep": b"[" * 60_000 + b"\n",
    "deep below a key": b'{"files":' * 100_000 + b"\n",
    "control characters": CONTROL.encode(),
    "no JSON": b"\xff\xfe\0{",
    "infinite room": knows().replace(b"100000000000", b"1e400"),
    "no number of room": knows().replace(b"100000000000", b"NaN"),
    "room of 5,000 digits": knows().replace(b"100000000000", b"9" * 5000),
    "negative room": knows(free=-1),
    "room that is true": knows(free=True),
    "a version in words": knows(python=["3", "9"]),
    "a version of one part": knows(python=[4]),
    "a version of thousands": knows(python=[10**6, 10**6]),
    "modules that are none": knows(modules={"numpy": CONTROL}),
    "a thousand modules": knows(modules=["numpy"] * 1000),
    "an old Python": knows(python=[2, 7]),
    "no room": knows(free=1000),
    "no engine": knows(modules=["numpy", CONTROL]),
    "modules with names that a terminal obeys": knows(modules=[*KNOWS["modules"], CONTROL]),  # type: ignore[misc]
    "no absolute home": b"home/pi",
    "a home that a terminal obeys": f"/home/{CONTROL}".encode(),
    "an option for a home": b"-rf",
    "a list of files with other names": json.dumps(
        {"files": {"../../etc/passwd": [1, "x"], CONTROL: [2, "y"], "-rf": [3, "z"]}}
    ).encode(),
    "a list of files that is none": b'{"files": {"bundle.json": [true, 3]}}',
    "a file outside": listed("../../device.json", DEVICE),
    "a name that a terminal obeys": listed(f"{CONTROL}.json", DEVICE),
    "a file of other bytes": listed("device.json", DEVICE).replace(b'"runs"', b'"ruNs"'),
    "a file of half a petabyte": json.dumps({"files": {"device.json": [1 << 49, "0" * 64]}}).encode() + b"\n",
    "a file of 3 GiB": json.dumps({"files": {"device.json": [3 << 30, "0" * 64]}}).encode() + b"\n",
    "a file that ends too early": listed("device.json", DEVICE)[:-4],
    "more than it announced": listed("device.json", DEVICE) + b"x",
    "somebody else's folder": b"foreign\n",
}


def main() -> int:
    pids, lie, at = sys.argv[1:4]
    (Path(pids) / str(os.getpid())).touch()
    _, _, _, line, *arguments = shlex.split(sys.argv[-1])
    step = step_of(arguments)
    if step != at:
        say(f"{line}\n")
        say(answer(step))
        return 0
    if lie.startswith("damaged-"):
        return damaged(int(lie.removeprefix("damaged-")))(step, f"{line}\n")
    do: Callable[[str, str], int] = lies(SAID[lie]) if lie in SAID else getattr(Lies, lie)
    return do(step, f"{line}\n")


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        sys.exit(main())
    os._exit(0)
