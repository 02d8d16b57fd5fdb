"""An ``ssh`` to a device that is this machine: the command runs in a shell, as ``sshd`` runs it, in the folder HOME.

python local_ssh.py HOME [ssh's own arguments] COMMAND
"""

from __future__ import annotations

import os
import sys

home = sys.argv[1]
os.chdir(home)
os.execvpe("sh", ["sh", "-c", sys.argv[-1]], {**os.environ, "HOME": home})
