"""What runs on the device: engines, timing, AUC and the runner, on numpy and one inference engine alone.

Nothing here may import another room; every other room may import this one. ``bench`` packs the whole folder into
``runner.pyz``.
"""

import os

# From 1.29 on, onnxruntime's Linux wheels report to their maker: they write a device's identifier under ~/.cache and
# send it, by a thread of their own, wherever it is imported. A run needs no network and writes to its output folder
# alone; whoever wants it otherwise sets the variable himself (github.com/microsoft/onnxruntime/pull/27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
