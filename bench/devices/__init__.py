"""Devices reached over the system's own OpenSSH: what they are, how they are reached, and a run on one of them."""
