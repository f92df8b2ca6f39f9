"""Fitted network → one small ONNX graph, checked against numpy.

The graph begins at the vectors, never at the text (converted text vectorisers were wrong by up
to 0.7 in probability on non-ASCII text).  Of a text with s segments and n columns:

    rows   = Q[columns] * scale[columns]                          (n, hidden)
    hidden = relu(values @ rows + surface @ S + shapes @ F + b1)  (s, hidden)
    share  = softmax over segments of (hidden @ a + shapes @ c)   (s,)
    p_type, p_level, p_turn = softmax(share @ hidden @ W2 + b2), head by head

Q holds the rows of the first layer as int8 with one scale each, a quarter of the size and no
change in any score; the temperatures of calibration are folded into W2 and b2, which is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifier.carry import TURNS, TextReading
from classifier.features import SHAPE, SURFACE
from classifier.tasks import N_LEVELS, TYPES
from classifier.training.network import Network

Floats = NDArray[np.float32]

OPSET: Final = 17
IR_VERSION: Final = 9
"""Old enough for every onnxruntime that the package allows."""


HEADS: Final = (len(TYPES), N_LEVELS, len(TURNS))
"""Outputs of the network: type, level, turn."""


DENSE: Final = len(SURFACE) + len(SHAPE)
"""Columns of the first layer behind the tokens: the surface of a text and the shape of a segment."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the graph holds.  V columns, H hidden units, C = sum(HEADS) outputs.

    ``tokens`` int8 (V, H) times ``scale`` float32 (V, 1) is the first layer's sparse part;
    ``surface`` (len(SURFACE), H), ``shapes`` (len(SHAPE), H), ``b1`` (H,), ``a`` (H,), ``c`` (len(SHAPE),), ``w2`` (H, C),
    ``b2`` (C,).
    """

    tokens: NDArray[np.int8]
    scale: Floats
    surface: Floats
    shapes: Floats
    b1: Floats
    a: Floats
    c: Floats
    w2: Floats
    b2: Floats

    def read(
        self, columns: NDArray[np.int64], values: Floats, surface: Floats, shapes: Floats
    ) -> TextReading:
        """Compute the reading of one text: the reference for the graph."""
        rows = self.tokens[columns].astype(np.float32)
        scaled = values * self.scale[columns, 0]
        seen = surface @ self.surface + shapes @ self.shapes + self.b1
        hidden = np.maximum(scaled @ rows + seen, 0)
        pooled = _softmax(hidden @ self.a + shapes @ self.c) @ hidden
        z_type, z_level, z_turn = np.split(pooled @ self.w2 + self.b2, np.cumsum(HEADS)[:-1])
        return TextReading(_softmax(z_type), _softmax(z_level), _softmax(z_turn))


def quantise(network: Network, temperatures: tuple[float, float]) -> Weights:
    """Fold the temperatures of type and level in, and turn rows into int8."""
    by = np.repeat((*temperatures, 1.0), HEADS)
    tokens, surface, shapes = np.split(network.w1, (-DENSE, -len(SHAPE)))
    scale = np.maximum(np.abs(tokens).max(axis=1, keepdims=True), 1e-8) / 127
    return Weights(
        tokens=np.round(tokens / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        surface=surface,
        shapes=shapes,
        b1=network.b1,
        a=network.a,
        c=network.c,
        w2=np.asarray(network.w2 / by, dtype=np.float32),
        b2=np.asarray(network.b2 / by, dtype=np.float32),
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
        helper.make_node("MatMul", ["shapes", "shape_weights"], ["of_shapes"]),
        helper.make_node("Sum", ["from_tokens", "from_surface", "of_shapes", "b1"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "a"], ["from_hidden"]),
        helper.make_node("MatMul", ["shapes", "c"], ["from_shapes"]),
        helper.make_node("Add", ["from_hidden", "from_shapes"], ["z_share"]),
        helper.make_node("Softmax", ["z_share"], ["share"], axis=0),
        helper.make_node("MatMul", ["share", "hidden"], ["pooled"]),
        helper.make_node("MatMul", ["pooled", "w2"], ["unbiased"]),
        helper.make_node("Add", ["unbiased", "b2"], ["logits"]),
        helper.make_node(
            "Split", ["logits", "head_sizes"], ["z_type", "z_level", "z_turn"], axis=0
        ),
        helper.make_node("Softmax", ["z_type"], ["p_type"], axis=0),
        helper.make_node("Softmax", ["z_level"], ["p_level"], axis=0),
        helper.make_node("Softmax", ["z_turn"], ["p_turn"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "auto-efficient classifier",
        [
            helper.make_tensor_value_info("columns", TensorProto.INT64, ["columns_held"]),
            helper.make_tensor_value_info(
                "values", TensorProto.FLOAT, ["segments", "columns_held"]
            ),
            helper.make_tensor_value_info("surface", TensorProto.FLOAT, [len(SURFACE)]),
            helper.make_tensor_value_info("shapes", TensorProto.FLOAT, ["segments", len(SHAPE)]),
        ],
        [
            helper.make_tensor_value_info("p_type", TensorProto.FLOAT, [HEADS[0]]),
            helper.make_tensor_value_info("p_level", TensorProto.FLOAT, [HEADS[1]]),
            helper.make_tensor_value_info("p_turn", TensorProto.FLOAT, [HEADS[2]]),
        ],
        [
            constant("tokens", weights.tokens),
            constant("scale", weights.scale[:, 0]),
            constant("surface_weights", weights.surface),
            constant("shape_weights", weights.shapes),
            constant("b1", weights.b1),
            constant("a", weights.a),
            constant("c", weights.c),
            constant("w2", weights.w2),
            constant("b2", weights.b2),
            constant("head_sizes", np.array(HEADS, dtype=np.int64)),
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
