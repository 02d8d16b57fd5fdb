"""What runs on the device: engines, timing, AUC and the runner, on numpy and one inference engine alone.

Nothing here may import another room; every other room may import this one. ``bench`` packs the whole folder into
``runner.pyz``.
"""
