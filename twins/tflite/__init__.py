"""TFLite files as differentiable modules: the format, and its operators a family a file."""
