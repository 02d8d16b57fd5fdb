"""How ``rr.tflite``, ``rr_int8.tflite``, ``rr.onnx`` and ``rr_auc.json`` were made: a net of a beat and of its RR
intervals, by Keras, its converter and tf2onnx.

    (README.md)                                      in an environment of Pulseproof: beats_rr.npz
    python make_keras_rr.py beats_rr.npz .           in one of TensorFlow (2.21) and tf2onnx (1.17): the files

The beat is the second in the middle of the recording, .4 s before it and .6 s after, z-scored; the intervals are those
of the database's annotations, in seconds. ``rr_auc.json`` holds TensorFlow's own AUC with them, and with both at .8 s.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow import keras

FIRST, SAMPLES = 120, 100  # of 3.2 s at 100 Hz, the beat at 1.6 s


def zscored(x):
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


def net():
    beat, rr = keras.Input((SAMPLES, 1), name="ecg"), keras.Input((2,), name="rr")
    x = keras.layers.Conv1D(8, 9, strides=3, activation="relu")(beat)
    x = keras.layers.Conv1D(8, 5, strides=2, activation="relu")(x)
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling1D()(x), rr])
    x = keras.layers.Dense(12, activation="relu")(x)
    return keras.Model([beat, rr], keras.layers.Dense(2, activation="softmax")(x))


def auc(scores, labels):
    """Macro one-vs-rest AUC of two classes that exclude each other, ties counted half."""
    score, truth = scores[:, 1], labels[:, 1].astype(bool)
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks, n = (np.cumsum(counts) - (counts - 1) / 2)[place], truth.sum()
    return float((ranks[truth].sum() - n * (n + 1) / 2) / (n * (~truth).sum()))


def main():
    beats, out = np.load(sys.argv[1]), Path(sys.argv[2])
    keras.utils.set_random_seed(1)
    x, rr, y = {}, {}, {}
    for side in ("train", "validation"):
        x[side] = zscored(beats[side][:, 0, FIRST : FIRST + SAMPLES])[:, :, None].astype(np.float32)
        rr[side], y[side] = beats[f"{side}_rr"].astype(np.float32), beats[f"{side}_labels"]
    made = net()
    made.compile(keras.optimizers.Adam(3e-3), "categorical_crossentropy")
    made.fit([x["train"], rr["train"]], y["train"], epochs=3, batch_size=64, verbose=2)
    told = {
        "annotated": auc(made.predict([x["validation"], rr["validation"]], verbose=0), y["validation"]),
        "held": auc(made.predict([x["validation"], np.full_like(rr["validation"], 0.8)], verbose=0), y["validation"]),
    }
    (out / "rr_auc.json").write_text(json.dumps(told, indent=1) + "\n")
    tool = tf.lite.TFLiteConverter.from_keras_model(made)
    (out / "rr.tflite").write_bytes(tool.convert())
    tool.optimizations = [tf.lite.Optimize.DEFAULT]
    tool.representative_dataset = lambda: (
        [x["train"][at][None], rr["train"][at][None]] for at in range(0, len(x["train"]), 50)
    )
    tool.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    tool.inference_input_type = tool.inference_output_type = tf.int8
    (out / "rr_int8.tflite").write_bytes(tool.convert())
    ends = [tf.TensorSpec((1, SAMPLES, 1), tf.float32, "ecg"), tf.TensorSpec((1, 2), tf.float32, "rr")]
    call = tf.function(lambda ecg, rr: made([ecg, rr]), input_signature=ends)
    tf2onnx.convert.from_function(call, ends, opset=13, output_path=str(out / "rr.onnx"))


main()
