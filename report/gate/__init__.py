"""Bounds of a team on what it ships, for its CI."""
