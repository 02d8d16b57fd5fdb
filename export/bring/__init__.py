"""``pulseproof bring``: what a stranger's file is, and what it was trained on, found out on recordings."""
