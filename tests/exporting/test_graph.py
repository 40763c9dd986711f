"""The graph around a network says what ``images.py`` says, in each engine."""

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from bunri.exporting.graph import build_graph
from bunri.images.decider import Decider
from bunri.images.frames import Preprocessing
from bunri.images.planes import FramePlanes
from bunri.model.info import BundleInfo
from bunri.model.onnx_file import (
    CLASSES,
    FRAME,
    FRAME_PROBS,
    PHOTOS,
    PROBS,
    cut_network,
    read_onnx_file,
)
from tests.predict.fakes import SMALL_TABLE

SIZE_PX = 64
INFO = BundleInfo(
    SMALL_TABLE, Preprocessing(SIZE_PX, (0.5, 0.4, 0.3), (0.5, 0.25, 0.2)), {"name": "fpn"}
)


def make_network(stride=1):
    """Return a network whose classes change from cell to cell."""
    weights = np.random.default_rng(0).normal(size=(len(SMALL_TABLE), 3, 3, 3))
    nodes = [
        helper.make_node(
            "Conv", [FRAME, "weights"], ["logits"], pads=[1, 1, 1, 1], strides=[stride, stride]
        ),
        helper.make_node("Softmax", ["logits"], [FRAME_PROBS], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info(FRAME, TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info(FRAME_PROBS, TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def show_inside(model):
    """Return a model that also gives its inner tensors."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for name in (FRAME, FRAME_PROBS):
        shown.graph.output.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None, "h", "w"])
        )
    return shown.SerializeToString()


def start_onnxruntime(content):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda photos: dict(zip(names, session.run(None, {PHOTOS: photos}), strict=True))


def start_openvino(content):
    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(content), "CPU", hint)
    return lambda photos: {output.any_name: values for output, values in compiled(photos).items()}


@pytest.fixture(scope="module", params=[1, 4], ids=["stride 1", "stride 4"])
def model(request):
    return build_graph(make_network(request.param), INFO, "f32", has_probs=True)


@pytest.fixture(scope="module", params=[start_onnxruntime, start_openvino])
def engine(request, model):
    return request.param(show_inside(model))


@pytest.fixture(scope="module")
def runtime(model):
    return start_onnxruntime(show_inside(model))


def make_photo(height, width, seed=0):
    """Return coloured tiles of four pixels with noise on them."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3))
    photo = tiles.repeat(4, 0).repeat(4, 1)[:height, :width] + rng.integers(-9, 10, (1, 1, 3))
    return photo.clip(0, 255).astype(np.uint8)


def compare(found, photo):
    """Hold everything that a graph gives of one photo against ``images.py``."""
    frame = INFO.preprocessing.prepare(photo)
    assert found[FRAME][0].shape == frame.pixels.shape
    std = np.array(INFO.preprocessing.std_rgb, np.float32).reshape(3, 1, 1)
    steps = np.abs(found[FRAME][0] - frame.pixels) * 255 * std
    # Two values that were rounded the other way on the first pass can meet in one of the second.
    assert steps.max() < 2.01
    assert (steps > 1.5).mean() <= 0.001
    # Where a value lies just between two, float32 may round it to the other; and Pillow 13, unlike
    # those before, shrinks tall photos down first, which rounds others.
    is_tall = photo.shape[0] > 2 * photo.shape[1]
    assert (steps > 0.5).mean() <= (0.5 if is_tall else 0.05)
    if photo.shape[:2] == frame.content_hw:
        assert steps.max() < 1e-3  # the same pixels; engines may fuse how they are normalised
    probs = found[FRAME_PROBS][0]
    planes = FramePlanes.from_frame(probs, frame)
    assert np.abs(found[PROBS][0] - np.stack(list(planes))).max() < 1e-5
    assert found[CLASSES].dtype == np.uint8
    assert (found[CLASSES][0] == Decider.plain(len(planes)).choose(planes)).mean() >= 0.999


@pytest.mark.parametrize(
    "size_hw",
    [(64, 64), (48, 64), (128, 128), (1, 1), (2, 3), (20, 700), (65, 64), (64, 63), (211, 97),
     (30, 41), (3, 160), (1, 300), (63, 64)],
)  # fmt: skip
def test_graph__says_what_images_says(engine, size_hw):
    photo = make_photo(*size_hw)
    compare(engine(photo[None]), photo)


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 9))
@example(100, 60, 0)
@example(176, 176, 0)
def test_graph__says_it_at_any_size(runtime, height, width, seed):
    photo = make_photo(height, width, seed)
    compare(runtime(photo[None]), photo)


def test_graph__rounds_a_size_as_python_does(runtime):
    # 3 of 2 x 3: a half that rounds to even, which every other photo of two rows has.
    for side_px in range(1, 64):
        photo = make_photo(side_px, 128)
        found = runtime(photo[None])
        assert found[FRAME].shape[2:] == INFO.preprocessing.prepare(photo).pixels.shape[1:]
        assert found[CLASSES].shape == (1, side_px, 128)


def test_graph__takes_several_photos(engine):
    photos = np.stack([make_photo(60, 90, seed) for seed in range(3)])
    found = engine(photos)[CLASSES]
    alone = np.concatenate([engine(photo[None])[CLASSES] for photo in photos])
    assert np.array_equal(found, alone)


def test_graph__gives_the_lower_class_between_equals():
    network = make_network()
    weights = network.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(np.zeros((3, 3, 3, 3), np.float32), "weights"))
    engine = start_onnxruntime(build_graph(network, INFO, "f32").SerializeToString())
    for size_hw in ((20, 30), (90, 70)):
        assert not engine(make_photo(*size_hw)[None])[CLASSES].any()


def test_graph__is_a_model_that_bunri_reads(tmp_path):
    model = build_graph(make_network(), INFO, "int8")
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    read = read_onnx_file(path)
    assert read.info.table == INFO.table
    metadata = {entry.key: entry.value for entry in read.model.metadata_props}
    assert metadata["precision"] == "int8"
    assert [output.name for output in read.model.graph.output] == [CLASSES]
    network = onnxruntime.InferenceSession(cut_network(read.model))
    frame = np.zeros((1, 3, 32, 64), np.float32)
    assert network.run(None, {FRAME: frame})[0].shape == (1, 3, 32, 64)
