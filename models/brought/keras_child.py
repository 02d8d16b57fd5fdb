"""Run by an interpreter that has TensorFlow and nothing of ours: a Keras file in, a .tflite file and JSON out.

    python -I keras_child.py model.keras out.tflite

The batch is fixed to one recording, which is how a device asks: so a recurrent layer keeps one operator or a loop of
constant turns, and no shape is computed while it runs. The file is then held against the model on drawn signals.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

MEMORY = 16 << 30  # of addresses: TensorFlow maps far more than it uses
TRIED = 4


def main(path: Path, out: Path) -> dict[str, Any]:
    """Convert; what the parent is told."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if path.is_dir():
        model = tf.saved_model.load(str(path))
        called = model.signatures["serving_default"]
        asked = list(called.structured_input_signature[1].values())
        if len(asked) != 1:
            raise ValueError(f"it has {len(asked)} inputs, expected one")
        name = asked[0].name

        def score(x: Any) -> Any:
            return called(**{name: x})

        shape, kind = asked[0].shape, asked[0].dtype
    else:
        model = tf.keras.models.load_model(path, compile=False, safe_mode=True)
        if len(model.inputs) != 1:
            raise ValueError(f"it has {len(model.inputs)} inputs, expected one")

        def score(x: Any) -> Any:
            return model(x, training=False)

        shape, kind = model.inputs[0].shape, tf.as_dtype(model.inputs[0].dtype)
    sizes = [1, *list(shape)[1:]]
    if any(size is None for size in sizes):
        raise ValueError(f"its input {tuple(shape)} leaves more open than the number of recordings")
    function = tf.function(score).get_concrete_function(tf.TensorSpec(sizes, kind))
    frozen = convert_variables_to_constants_v2(function)  # a weight within a loop would stay a variable, without value
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    out.write_bytes(content)
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    ends = interpreter.get_output_details()
    differences, rng = [], np.random.default_rng(0)
    for _ in range(TRIED):
        signal = rng.normal(size=sizes).astype(kind.as_numpy_dtype)
        interpreter.reset_all_variables()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], signal)
        interpreter.invoke()
        own = [np.asarray(each) for each in tf.nest.flatten(score(tf.constant(signal)))]
        given = [interpreter.get_tensor(end["index"]) for end in ends]
        if len(own) == 1 == len(given):
            differences.append(float(np.abs(own[0] - given[0]).max()))
    return {
        "tensorflow": tf.__version__,
        "input": sizes,
        "outputs": [[int(size) for size in end["shape"]] for end in ends],
        "largest": max(differences, default=None),
    }


if __name__ == "__main__":
    try:
        said = main(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception as error:  # a stranger's file: whatever Keras and TensorFlow raise
        said = {"failed": f"{type(error).__name__}: {error}"[:2000]}
    sys.stdout.write("\n" + json.dumps(said) + "\n")
