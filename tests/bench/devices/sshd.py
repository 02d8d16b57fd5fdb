"""A real sshd on the loopback, with keys and a config of its own, run by and for the current user."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd") or ("/usr/sbin/sshd" if Path("/usr/sbin/sshd").exists() else None)
needs_sshd = pytest.mark.skipif(SSHD is None, reason="apt-get install openssh-server: a real sshd is what is tested")


@dataclass(frozen=True)
class Server:
    """``address`` as a user types it, ``ssh`` the command with this server's config, ``home`` where sessions start."""

    address: str
    ssh: tuple[str, ...]
    home: Path
    process: subprocess.Popen[bytes]

    def environment(self) -> dict[str, str]:
        return {"PULSEPROOF_SSH": json.dumps(self.ssh)}

    def cut(self) -> int:
        """Kill the sessions that are open, as a line that drops would; returns how many."""
        sessions = children(self.process.pid)
        for pid in sessions:
            for each in [*children(pid), pid]:  # with separation of privileges, a session is two processes
                name = Path(f"/proc/{each}/comm")
                with suppress(OSError):
                    if name.read_text().startswith("sshd"):
                        os.kill(each, signal.SIGKILL)
        return len(sessions)


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started."""
    with suppress(OSError):
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


@contextmanager
def sshd(home: Path) -> Iterator[Server]:
    """Start one; ``home`` gets its keys, its config and the folder in which its sessions start."""
    assert SSHD is not None
    keys, start = home / "keys", home / "home"
    keys.mkdir(parents=True, mode=0o700)
    start.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # The session starts in a folder of the test, with the test's Python as python3 and nothing of Pulseproof.
    tools = home / "bin"
    tools.mkdir()
    (tools / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} -P "$@"\n')
    (tools / "python3").chmod(0o755)
    (home / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {keys / 'host'}\nPidFile none\n"
        f"AuthorizedKeysFile {keys / 'authorized'}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nMaxStartups 100\n"
        f"ForceCommand cd {start} && if test -f greeting; then cat greeting; fi; "
        f'PATH={tools}:$PATH exec sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    public = (keys / "host.pub").read_text().split()
    (home / "known").write_text(f"[127.0.0.1]:{port} {public[0]} {public[1]}\n")
    (home / "config").write_text(
        f"Host board\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {keys / 'user'}\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {home / 'known'}\n StrictHostKeyChecking yes\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd parts its privileges; Debian's service makes it
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(home / "sshd_config")], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (home / "log").read_text()
            time.sleep(0.05)
        yield Server("board", ("ssh", "-F", str(home / "config")), start, process)
    finally:
        process.terminate()
        process.wait()
