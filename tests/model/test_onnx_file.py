"""Models in one ONNX file: what is written of them, what is read, and what is refused."""

import json
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from bunri.core.errors import ModelError
from bunri.model.info import describe_info
from bunri.model.onnx_file import FRAME, FRAME_PROBS, cut_network, make_metadata, read_onnx_file
from tests.onnx_models import INFO, make_bytes, make_model

WHOLE = make_bytes()


def write(folder, content):
    path = folder / "model.onnx"
    path.write_bytes(content)
    return path


def refuse(folder, content):
    """Return the error message for a file that cannot be used."""
    with pytest.raises(ModelError) as caught:
        read_onnx_file(write(folder, content))
    assert "model.onnx" in caught.value.message
    return caught.value.message


def test_make_metadata__for_programs_without_bunri():
    said = make_metadata(INFO, "int8")
    assert json.loads(said["names_en"]) == ["Ground", "Tin", "Jar"]
    assert json.loads(said["colors_rgb"])[1] == [80, 0, 0]
    assert (said["size_px"], said["stride_px"], said["precision"]) == ("64", "32", "int8")
    assert said["data_license"] == "CC BY 4.0"
    assert set(make_metadata(INFO, "f32")) == set(said)


def test_read_onnx_file__returns_the_whole_description(tmp_path):
    assert read_onnx_file(write(tmp_path, make_bytes())).info == INFO


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not a graph", bytes(range(256)) * 9])
def test_read_onnx_file__no_onnx(tmp_path, content):
    refuse(tmp_path, content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_read_onnx_file__cut_off(tmp_path, share):
    content = make_bytes()
    refuse(tmp_path, content[: int(len(content) * share)])


def test_read_onnx_file__is_not_there(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_onnx_file(tmp_path / "model.onnx")


def test_read_onnx_file__without_metadata_of_bunri(tmp_path):
    message = refuse(tmp_path, make_bytes(metadata={"author": "somebody"}))
    assert "has no key 'bunri' in its metadata" in message
    assert "found: author" in message


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', "[" * 100_000])
def test_read_onnx_file__damaged_metadata(tmp_path, text):
    refuse(tmp_path, make_bytes(metadata={"bunri": text}))


def test_read_onnx_file__of_a_newer_bunri(tmp_path):
    content = {**describe_info(INFO), "format": 2, "bunri": "9.0"}
    message = refuse(tmp_path, make_bytes(metadata={"bunri": json.dumps(content)}))
    assert "written by bunri '9.0', which is newer" in message


def test_read_onnx_file__weights_in_another_file(tmp_path):
    model = make_model()
    tensor = model.graph.initializer[2]
    onnx.external_data_helper.set_external_data(tensor, "../../etc/passwd")
    tensor.ClearField("raw_data")
    assert "keeps the weights 'weights' in another file" in refuse(
        tmp_path, model.SerializeToString()
    )


def test_read_onnx_file__weights_in_another_file_deep_in_a_branch(tmp_path):
    model = make_model()
    hidden = numpy_helper.from_array(np.zeros(3, np.float32), "hidden")
    onnx.external_data_helper.set_external_data(hidden, "elsewhere")
    hidden.ClearField("raw_data")
    branch = helper.make_graph([helper.make_node("Constant", [], ["x"], value=hidden)], "b", [], [])
    model.graph.node.append(
        helper.make_node("If", ["c"], ["d"], then_branch=branch, else_branch=branch)
    )
    assert "keeps the weights 'hidden' in another file" in refuse(
        tmp_path, model.SerializeToString()
    )


def test_read_onnx_file__custom_operator(tmp_path):
    model = make_model()
    model.graph.node[4].domain = "com.example"
    assert "needs the custom operator 'Conv' of 'com.example'" in refuse(
        tmp_path, model.SerializeToString()
    )


def test_read_onnx_file__old_operators(tmp_path):
    assert "operator set 11; at least 17" in refuse(
        tmp_path, make_model(opset=11).SerializeToString()
    )


@pytest.mark.parametrize("name", ["frame", "frame_probs", "classes"])
def test_read_onnx_file__without_a_tensor(tmp_path, name):
    model = make_model()
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["other" if one == name else one for one in names]
    assert f"has no tensor {name}" in refuse(tmp_path, model.SerializeToString())


def test_cut_network__is_what_lies_between():
    cut = onnx.load_model_from_string(cut_network(make_model()))
    onnx.checker.check_model(cut)
    assert [node.op_type for node in cut.graph.node] == ["Conv", "Softmax"]
    assert [value.name for value in cut.graph.input] == [FRAME]
    assert [value.name for value in cut.graph.output] == [FRAME_PROBS]
    assert {tensor.name for tensor in cut.graph.initializer} == {"weights", "bias"}


def test_read_onnx_file__metadata_keys_that_are_no_text(tmp_path):
    content = make_bytes(metadata={"abcd": "", "efgh": ""}).replace(b"abcd", b"\xff" * 4)
    assert "has no key 'bunri' in its metadata" in refuse(tmp_path, content)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=3))
def test_read_onnx_file__any_damage_is_read_or_refused(tmp_path, changes):
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place % len(content)] = value
    with suppress(ModelError):
        cut_network(read_onnx_file(write(tmp_path, bytes(content))).model)
