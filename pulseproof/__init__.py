"""Which exported ECG classifier should I ship, and does it stay accurate when the signal is disturbed?

The rooms are packages in here (``pulseproof.export``, ``pulseproof.attacks``, ...). This module imports nothing: a
device runs ``pulseproof.runtime`` with numpy and one engine alone.
"""
