"""How the files beside this one were made: by Keras and its converter, from beats that their trainer scaled himself.

    (README.md)                                in an environment of Pulseproof: beats.npz
    python make_keras.py beats.npz .           in one of TensorFlow (2.21): the .tflite files, and auc.json

``auc.json`` holds TensorFlow's own AUC of each on the same beats, scaled as the net was trained.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow import keras


def zscored(x):
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)


def minmaxed(x):
    low, high = x.min(axis=1, keepdims=True), x.max(axis=1, keepdims=True)
    return (x - low) / (high - low)


def conv1d():
    return keras.Sequential(
        [
            keras.Input((100, 1)),
            keras.layers.Conv1D(8, 7, activation="relu"),
            keras.layers.MaxPooling1D(2),
            keras.layers.Conv1D(16, 5, activation="relu"),
            keras.layers.MaxPooling1D(2),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )


def dense():
    return keras.Sequential(
        [
            keras.Input((100,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def conv2d():
    signal = keras.Input((100, 1, 1), name="ecg")
    x = keras.layers.Conv2D(8, (9, 1), strides=(2, 1), activation="relu")(signal)
    x = keras.layers.Conv2D(8, (9, 1), strides=(2, 1), activation="relu")(x)
    embedding = keras.layers.Dense(8, activation="relu", name="embedding")(keras.layers.Flatten()(x))
    beat = keras.layers.Dense(2, activation="softmax", name="beat")(embedding)
    return keras.Model(signal, {"beat": beat, "embedding": embedding})


def two_leads():
    return keras.Sequential(
        [
            keras.Input((100, 2)),
            keras.layers.Conv1D(4, 7, activation="relu"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
    )


def converted(net, sample=None, ends=None, half=False):
    tool = tf.lite.TFLiteConverter.from_keras_model(net)
    if half:
        tool.optimizations = [tf.lite.Optimize.DEFAULT]
        tool.target_spec.supported_types = [tf.float16]
    if ends is not None:
        tool.optimizations = [tf.lite.Optimize.DEFAULT]
        tool.representative_dataset = lambda: ([one[None].astype(np.float32)] for one in sample)
        tool.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        tool.inference_input_type = tool.inference_output_type = ends
    return tool.convert()


def auc(scores, labels):
    """Macro one-vs-rest AUC by ranks, ties counted half."""
    found = []
    for column, truth in zip(scores.T, labels.T.astype(bool), strict=True):
        _, place, counts = np.unique(column, return_inverse=True, return_counts=True)
        ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
        n = truth.sum()
        found.append((ranks[truth].sum() - n * (n + 1) / 2) / (n * (~truth).sum()))
    return float(np.mean(found))


def main():
    beats, out = np.load(sys.argv[1]), Path(sys.argv[2])
    keras.utils.set_random_seed(1)
    told = {}
    labels = {side: beats[f"{side}_labels"] for side in ("train", "validation", "test")}
    for name, net, scaled, axes in (
        ("conv1d", conv1d(), zscored, (100, 1)),
        ("dense", dense(), minmaxed, (100,)),
        ("conv2d", conv2d(), zscored, (100, 1, 1)),
    ):
        x = {side: scaled(beats[side][:, 0]).reshape(-1, *axes).astype(np.float32) for side in labels}
        y = labels["train"][:, 1:] if name == "dense" else labels["train"]
        loss = "binary_crossentropy" if name == "dense" else "categorical_crossentropy"
        net.compile(keras.optimizers.Adam(1e-3), {"beat": loss} if name == "conv2d" else loss)
        net.fit(x["train"], {"beat": y} if name == "conv2d" else y, epochs=4, batch_size=64, verbose=2)
        told[name] = {}
        for side in ("validation", "test"):
            scores = net.predict(x[side], verbose=0)
            scores = scores["beat"] if name == "conv2d" else scores
            told[name][side] = auc(np.concatenate([1 - scores, scores], 1) if name == "dense" else scores, labels[side])
        (out / f"{name}.tflite").write_bytes(converted(net))
        some = x["train"][::50]
        if name == "conv1d":
            (out / "conv1d_int8.tflite").write_bytes(converted(net, some, tf.int8))
            (out / "conv1d_uint8.tflite").write_bytes(converted(net, some, tf.uint8))
            (out / "conv1d_half.tflite").write_bytes(converted(net, half=True))
        if name == "dense":
            (out / "dense_int8.tflite").write_bytes(converted(net, some, tf.int8))
    (out / "two_leads.tflite").write_bytes(converted(two_leads()))
    (out / "auc.json").write_text(json.dumps(told, indent=1) + "\n")


main()
