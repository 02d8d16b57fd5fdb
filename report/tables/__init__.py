"""The tables: terminal, Markdown, CSV, JSON."""
