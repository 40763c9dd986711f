"""ONNX files made by hand, which do what ``tests.predict.fakes.ColorBackend`` does in numpy.

A pixel's class follows from its red value: of three classes the most probable is 0, 1 or 2 where
red is near 0, 128 or 255. Photos must be as large as the frame: nothing is resized.
"""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from bunri.images.frames import Preprocessing
from bunri.model.info import BundleInfo
from bunri.model.onnx_file import CLASSES, FRAME, FRAME_PROBS, PHOTOS, make_metadata
from tests.predict.fakes import SMALL_TABLE

INFO = BundleInfo(
    table=SMALL_TABLE,
    preprocessing=Preprocessing(64, (0.5,) * 3, (0.5,) * 3),
    architecture={"name": "painted"},
    training={"name": "Hand-made", "parameters": 12},
    licenses={"weights": "Apache-2.0", "data": "CC BY 4.0"},
)
WEIGHTS = np.zeros((3, 3, 1, 1), np.float32)
WEIGHTS[:, 0, 0, 0] = (-8, 0, 8)
BIAS = np.array([0, 4, 0], np.float32)


def compute_probs(pixels):
    """Return what the network between ``frame`` and ``frame_probs`` says, by numpy."""
    logits = WEIGHTS[:, 0, 0, 0, None, None] * pixels[0] + BIAS[:, None, None]
    powers = np.exp(logits - logits.max(0))
    return powers / powers.sum(0)


def make_model(info=INFO, metadata=None, opset=18):
    """Return a model from photos to classes."""
    nodes = [
        helper.make_node("Cast", [PHOTOS], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "one"], [FRAME]),
        helper.make_node("Conv", [FRAME, "weights", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [FRAME_PROBS], axis=1),
        helper.make_node("ArgMax", [FRAME_PROBS], ["indices"], axis=1, keepdims=0),
        helper.make_node("Cast", ["indices"], [CLASSES], to=TensorProto.UINT8),
    ]
    constants = {
        "scale": np.float32(2 / 255), "one": np.float32(1), "weights": WEIGHTS, "bias": BIAS,
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "painted",
        [helper.make_tensor_value_info(PHOTOS, TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(CLASSES, TensorProto.UINT8, ["n", "h", "w"])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    helper.set_model_props(model, make_metadata(info, "f32") if metadata is None else metadata)
    return model


def make_bytes(**changes):
    """Return :func:`make_model` as the content of a file."""
    content: bytes = make_model(**changes).SerializeToString()
    onnx.checker.check_model(content)
    return content


def write_stripes(folder):
    """Write a photo of the three classes side by side, and its labels; return their file."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, 20:40, 0], stripes[:, 40:, 0] = 128, 255
    Image.fromarray(stripes).save(folder / "photo.png")
    box = [[20, 0, 40, 0, 40, 64, 20, 64]], [[40, 0, 64, 0, 64, 64, 40, 64]]
    content = {
        "images": [{"id": 1, "file_name": "photo.png", "width": 64, "height": 64}],
        "categories": [{"id": 1, "name": "Tin"}, {"id": 2, "name": "Jar"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": i, "segmentation": outline}
            for i, outline in enumerate(box, start=1)
        ],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return folder / "labels.json"
