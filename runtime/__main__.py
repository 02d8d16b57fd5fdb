"""``python -m pulseproof.runtime``: the runner, from a checkout. ``runner.pyz`` starts the same ``main``."""

from pulseproof.runtime.runner import main

raise SystemExit(main())
