"""Fitted network → one small ONNX graph, checked against numpy.

The graph begins at the vector, never at the text (converted text vectorisers were wrong by up
to 0.7 in probability on non-ASCII text):

    hidden = relu(sum_i values[i] * scale[columns[i]] * Q[columns[i]] + surface @ S + b1)
    p_type, p_level = softmax(hidden @ W2 + b2), head by head

Q holds the rows of the first layer as int8 with one scale each, a quarter of the size and no
change in any score; the temperatures of calibration are folded into W2 and b2, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.features import SURFACE
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.network import Network

Floats = NDArray[np.float32]

OPSET: Final = 17
IR_VERSION: Final = 9
"""Old enough for every onnxruntime that the package allows."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the graph holds.  V columns, H hidden units, C = len(TYPES) + N_LEVELS outputs.

    ``tokens`` int8 (V, H) times ``scale`` float32 (V, 1) is the first layer's sparse part;
    ``surface`` (len(SURFACE), H), ``b1`` (H,), ``w2`` (H, C), ``b2`` (C,).
    """

    tokens: NDArray[np.int8]
    scale: Floats
    surface: Floats
    b1: Floats
    w2: Floats
    b2: Floats

    def predict(
        self, columns: NDArray[np.int64], values: Floats, surface: Floats
    ) -> tuple[Floats, Floats]:
        """Compute p_type and p_level of one vector: the reference for the graph."""
        scaled = values * self.scale[columns, 0]
        hidden = scaled @ self.tokens[columns].astype(np.float32) + surface @ self.surface + self.b1
        logits = np.maximum(hidden, 0) @ self.w2 + self.b2
        return _softmax(logits[: len(TYPES)]), _softmax(logits[len(TYPES) :])


LEVEL_NETWORK_SHARE: Final = 0.8
"""Of the level network in the level's logits; see benchmarks/LOG.md."""


def quantise(
    networks: Sequence[Network], level: Network, temperatures: tuple[float, float]
) -> Weights:
    """Set networks side by side, their logits averaged, temperatures folded in, rows as int8.

    ``level`` has outputs for the level alone, and most of the say there.
    """
    w1 = np.hstack([n.w1 for n in (*networks, level)])
    say = np.repeat(np.array([1.0, 1 - LEVEL_NETWORK_SHARE]), (len(TYPES), N_LEVELS))
    to_level = np.pad(level.w2, ((0, 0), (len(TYPES), 0))) * LEVEL_NETWORK_SHARE
    w2 = np.vstack([*(n.w2 * say / len(networks) for n in networks), to_level])
    b2 = np.mean([n.b2 for n in networks], axis=0) * say
    b2[len(TYPES) :] += level.b2 * LEVEL_NETWORK_SHARE
    by = np.repeat(np.array(temperatures), (len(TYPES), N_LEVELS))
    tokens, surface = w1[: -len(SURFACE)], w1[-len(SURFACE) :]
    scale = np.maximum(np.abs(tokens).max(axis=1, keepdims=True), 1e-8) / 127
    return Weights(
        tokens=np.round(tokens / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        surface=surface,
        b1=np.concatenate([n.b1 for n in (*networks, level)]),
        w2=np.asarray(w2 / by, dtype=np.float32),
        b2=np.asarray(b2 / by, dtype=np.float32),
    )


def write_onnx(weights: Weights, path: Path) -> None:
    """Write the graph; needs the ``train`` extra."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, array: NDArray[np.generic]) -> onnx.TensorProto:
        return numpy_helper.from_array(np.ascontiguousarray(array), name)

    nodes = [
        helper.make_node("Gather", ["scale", "columns"], ["token_scale"]),
        helper.make_node("Mul", ["values", "token_scale"], ["scaled"]),
        helper.make_node("Gather", ["tokens", "columns"], ["rows_int8"]),
        helper.make_node("Cast", ["rows_int8"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["scaled", "rows"], ["from_tokens"]),
        helper.make_node("MatMul", ["surface", "surface_weights"], ["from_surface"]),
        helper.make_node("Sum", ["from_tokens", "from_surface", "b1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["unbiased"]),
        helper.make_node("Add", ["unbiased", "b2"], ["logits"]),
        helper.make_node("Split", ["logits", "head_sizes"], ["z_type", "z_level"], axis=0),
        helper.make_node("Softmax", ["z_type"], ["p_type"], axis=0),
        helper.make_node("Softmax", ["z_level"], ["p_level"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "auto-efficient classifier",
        [
            helper.make_tensor_value_info("columns", TensorProto.INT64, ["tokens"]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["tokens"]),
            helper.make_tensor_value_info("surface", TensorProto.FLOAT, [len(SURFACE)]),
        ],
        [
            helper.make_tensor_value_info("p_type", TensorProto.FLOAT, [len(TYPES)]),
            helper.make_tensor_value_info("p_level", TensorProto.FLOAT, [N_LEVELS]),
        ],
        [
            constant("tokens", weights.tokens),
            constant("scale", weights.scale[:, 0]),
            constant("surface_weights", weights.surface),
            constant("b1", weights.b1),
            constant("w2", weights.w2),
            constant("b2", weights.b2),
            constant("head_sizes", np.array([len(TYPES), N_LEVELS], dtype=np.int64)),
        ],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="auto-efficient")
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _softmax(z: Floats) -> Floats:
    e = np.exp(z - z.max())
    return np.asarray(e / e.sum(), dtype=np.float32)
