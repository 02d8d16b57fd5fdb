"""What we claim of speed and strength, held against the tools of the field side by side. Not installed: it needs
them."""
