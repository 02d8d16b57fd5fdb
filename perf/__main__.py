"""``python -m perf``."""

from perf.commands import app
from pulseproof.core.terminal.console import run_app

run_app(app)
