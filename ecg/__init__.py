"""Recordings in: PTB-XL, any WFDB database of annotated beats, and synthetic ones, with labels, patients and splits."""
