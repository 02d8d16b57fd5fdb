"""The answers in words: a sentence only where the statistics carry it."""
