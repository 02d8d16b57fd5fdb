"""A trained model out as files: ONNX and TFLite, float and int8, each compared with its source before it counts."""
