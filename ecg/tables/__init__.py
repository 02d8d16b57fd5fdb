"""Recordings with labels of their own: a table, the files that it names, and what a study says of both."""
