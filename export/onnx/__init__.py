"""ONNX files of every recipe, written and rewritten."""
