"""The systems under test and their training: recordings in, trained models out."""
