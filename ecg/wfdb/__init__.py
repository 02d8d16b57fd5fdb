"""WFDB files as header(5), signal(5) and annot(5) say: what is read means what the file says, or is refused in true
words."""
