"""One run at a time in a folder that runs write to: the recordings while they are read, a study's build.

In: a folder. Out: a context in which no other run of Pulseproof works there; what it waits for is said. The lock is a
file beside the folder, ``.<folder>.lock``, which names its holder, is held by ``flock``, and goes with the holder: the
kernel lets go of it however a process dies, and the next holder removes the halves of files that a dead one left.

Between machines ``flock`` is worth what their network disk makes of it: NFS asks its server, others know nothing of
each other, some refuse it. So a holder also touches its file every few seconds, and a file of another machine, or one
that cannot be held by ``flock``, is taken over only when it has not been touched for a while, by this process's own
clock. Two that take over the same file at once look again before they begin; a machine that slept longer than that and
wakes up beside another run is not seen.

Order: the recordings first, let go again, then the build; nobody holds both, so nobody waits in a circle. What only
reads a study (its table, answers, gate, report) takes no lock: a table must be had while a run of hours is under way,
files are renamed into their places whole, and results of other bytes than the bundle's count as stale.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shlex
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from multiprocessing import reduction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.runtime.files import is_partial
from pulseproof.runtime.terminal import make_plain
from pulseproof.runtime.words import one_line

if TYPE_CHECKING:
    from pulseproof.core.study import Study

LOOK_S = 0.1  # between looks at a lock that another has
BEAT_S = 5.0  # between touches of one's own
SILENT_S = 30.0  # after which a holder that only its touches tell of is dead
NO_FLOCK = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
APART = ("results", "incoming")  # of a build: results come from other machines, and are locked by the device

_held: dict[Path, int] = {}  # the locks of this process, and their open files


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold ``folder``, which need not be there yet, for this process; wait for another that does, and say for whom.

    Inside another hold of the same folder it does nothing. A folder beside which nothing can be written needs no lock:
    what is there is used as it is, and whoever would write is told so. Raises OSError, InputError.
    """
    place = folder.resolve()  # behind a link it is the same folder
    lock = place.with_name(f".{place.name}.lock")
    if lock in _held or _is_read_only(lock.parent):
        yield
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(8)
    handle = _taken(lock, place, token)
    ended = threading.Event()
    beating = threading.Thread(target=_beat, args=(handle, ended), daemon=True)
    try:
        _held[lock] = handle
        beating.start()
        _sweep(place)
        yield
    finally:
        ended.set()
        with contextlib.suppress(RuntimeError):  # told to end before it had begun: then it ends as soon as it begins
            beating.join()
        _held.pop(lock, None)
        if _holder(handle).get("token") == token and _is(lock, os.fstat(handle)):
            lock.unlink(missing_ok=True)
        os.close(handle)


def hold_build(study: Study, build: Path) -> contextlib.AbstractContextManager[None]:
    """Hold a study's build: from before its models are trained until the last file that is made of them is there."""
    return hold(build / study.name)


def _is_read_only(folder: Path) -> bool:
    """Whether nothing can be made in ``folder``, or in the first one above it that is there."""
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return not os.access(there, os.W_OK)


def _taken(lock: Path, place: Path, token: str) -> int:
    """The open lock file, once it is ours."""
    told, touched, changed = None, None, time.monotonic()
    while True:
        handle, is_new = _opened(lock)
        try:
            ours = _flock(handle, wait=is_new)
            holder, status = _holder(handle), os.fstat(handle)
            if ours is not False and (is_new or _is(lock, status)):
                dead = ours and holder.get("machine") == _machine()
                silent = (status.st_ino, status.st_mtime_ns) == touched and time.monotonic() - changed > SILENT_S
                if is_new or dead or silent:
                    _write_holder(handle, lock, token)
                    if is_new or dead or _stays(lock, token):
                        return handle
            if (status.st_ino, status.st_mtime_ns) != touched:
                touched, changed = (status.st_ino, status.st_mtime_ns), time.monotonic()
            if told != holder and holder:
                told = holder
                say(f"{place}: waiting for {_who(holder)}")
        except BaseException:
            if is_new:
                lock.unlink(missing_ok=True)
            os.close(handle)
            raise
        os.close(handle)
        time.sleep(LOOK_S)


def _opened(lock: Path) -> tuple[int, bool]:
    """The lock file, open; and whether this made it."""
    while True:
        with contextlib.suppress(FileExistsError):
            return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        with contextlib.suppress(FileNotFoundError):  # let go just now
            try:
                return os.open(lock, os.O_RDWR | os.O_NOFOLLOW), False
            except PermissionError:
                said = f"{lock}: another user's run works there, or was killed there"
                raise InputError(said, "wait until it has ended; delete the file if there is none") from None


def _flock(handle: int, wait: bool) -> bool | None:
    """Whether the file is held by this process now; None where there is no such lock. ``wait``: for those who look at a
    file that was made just now, and find it no holder's."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_FLOCK:
            return None
        raise
    return True


def _is(lock: Path, status: os.stat_result) -> bool:
    """Whether the open file is still the one of that name: a holder removes it when it lets go."""
    try:
        return os.path.samestat(lock.stat(), status)
    except FileNotFoundError:
        return False


def _write_holder(handle: int, lock: Path, token: str) -> None:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    holder = {
        "token": token,
        "machine": _machine(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "command": command[:500],
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(holder).encode(), 0)
    except OSError as error:
        error.filename = str(lock)
        raise


def _holder(handle: int) -> dict[str, Any]:
    """What the file says of its holder; anything can stand there."""
    try:
        found = json.loads(os.pread(handle, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _who(holder: dict[str, Any]) -> str:
    pid, command, host, since = (one_line(holder.get(key, "?"), 200) for key in ("pid", "command", "host", "since"))
    where = "" if holder.get("machine") == _machine() else f" on {host}"
    return f"process {pid}{where} ({command}), which has worked there since {since}"


def _stays(lock: Path, token: str) -> bool:
    """Whether a file that was taken over is still this process's after a while: another machine may have seen the same
    silence."""
    time.sleep(10 * LOOK_S)
    try:
        handle = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return bool(_holder(handle).get("token") == token)
    finally:
        os.close(handle)


def _machine() -> str:
    """Which running kernel this is: inside one, ``flock`` can be relied on."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{uuid.getnode():x}"


def _beat(handle: int, ended: threading.Event) -> None:
    while not ended.wait(BEAT_S):
        with contextlib.suppress(OSError):
            os.utime(handle)


def _sweep(place: Path) -> None:
    """Remove the halves of files that dead holders left."""
    for home, folders, names in os.walk(place):
        if home == str(place):
            folders[:] = [name for name in folders if name not in APART]
        for name in filter(is_partial, names):
            Path(home, name).unlink(missing_ok=True)


class Heirs:
    """The locks of this process for a worker that it spawns: handed over as an argument, they last until the worker is
    gone too, so that nobody begins beside one whose parent was killed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _inherit, (os.getpid(), [reduction.DupFd(handle) for handle in _held.values()])


def _inherit(parent: int, handles: list[Any]) -> None:
    """In the worker: keep the locks, and end with the parent. Nobody would ever fetch what it makes."""
    for each in handles:
        os.set_inheritable(each.detach(), False)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def begin_worker(locks: Heirs) -> None:
    """The beginning of a worker that its parent ends: Ctrl-C, which a terminal sends to all, is the parent's affair.
    What it prints passes the door of the terminal, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    make_plain()
