"""The charts of the page, as SVG."""
