"""WFDB records with annotations, read as beats or as windows, of one database or of several."""
