"""Engines: the same network says the same in each, and which one runs it is measured once."""

import importlib.metadata
import importlib.util
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

from bunri.core.errors import InputError, MissingExtraError, ModelError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.model.bundle import write_bundle
from bunri.model.lookup import open_model
from bunri.model.onnx_file import cut_network
from bunri.predict.backends import engines as backends
from bunri.predict.backends.engines import (
    ONNX_ENGINES,
    SharingBackend,
    count_cores,
    open_backend,
    open_engine,
)
from bunri.predict.predictor import Predictor, load_predictor
from tests.onnx_models import INFO, compute_probs, make_bytes, make_model

NETWORK = cut_network(make_model())
HUGE = json.dumps(dict.fromkeys(ONNX_ENGINES, 10**400))


@pytest.fixture
def engine(request):
    pytest.importorskip(request.param)
    return open_engine(request.param, NETWORK)


@pytest.fixture
def stored(tmp_path):
    write_bundle(tmp_path / "model", INFO, None, make_bytes())
    return open_model(str(tmp_path / "model"))


@pytest.fixture
def speeds(monkeypatch):
    """Return how fast each engine shall be, and count how often that is asked."""
    made: dict[str, Any] = {"ms": dict.fromkeys(ONNX_ENGINES, 5.0), "asked": 0}

    def open_named(name, network):
        return name

    def measure(name, side_px):
        made["asked"] += 1
        assert side_px == 64
        return made["ms"][name]

    monkeypatch.setattr(backends, "open_engine", open_named)
    monkeypatch.setattr(backends, "_measure_ms", measure)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.0")
    monkeypatch.delenv("BUNRI_BACKEND", raising=False)
    return made


@pytest.mark.parametrize("engine", ONNX_ENGINES, indirect=True)
def test_engine__says_what_the_network_says(engine):
    rng = np.random.default_rng(0)
    for size_hw in ((32, 32), (64, 96), (32, 32)):
        pixels = rng.uniform(-1, 1, (3, *size_hw)).astype(np.float32)
        probs = engine.predict_probs(pixels)
        assert probs.dtype == np.float32
        np.testing.assert_allclose(probs, compute_probs(pixels), atol=1e-5)


def test_openvino__compiles_for_the_first_size_and_once_for_all_others(monkeypatch):
    openvino_backend = pytest.importorskip("bunri.predict.backends.openvino_backend")
    backend = openvino_backend.OpenVinoBackend(NETWORK, 2)
    compiled = []
    compile_one = backend.compile

    def compile_and_note(shape, num_streams):
        compiled.append(shape)
        return compile_one(shape, num_streams)

    monkeypatch.setattr(backend, "compile", compile_and_note)
    for size_hw in ((32, 64), (64, 32), (32, 64), (96, 32), (64, 32)):
        pixels = np.full((3, *size_hw), 0.5, np.float32)
        np.testing.assert_allclose(backend.predict_probs(pixels), compute_probs(pixels), atol=1e-5)
    assert compiled == [(1, 3, 32, 64), None]


@pytest.mark.parametrize("engine", ONNX_ENGINES, indirect=True)
def test_engine__threads_do_not_mix_photos_up(engine):
    frames = [np.full((3, 64, 64), value, np.float32) for value in np.linspace(-1, 1, 40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(engine.predict_probs, frames))
    for frame, probs in zip(frames, answers, strict=True):
        np.testing.assert_allclose(probs, compute_probs(frame), atol=1e-5)


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_engine__refuses_what_it_cannot_run(name):
    pytest.importorskip(name)
    with pytest.raises(ModelError, match="cannot run the model"):
        open_engine(name, b"not a graph")


def test_predictor__of_an_onnx_file(stored):
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, 20:40, 0], photo[:, 40:, 0] = 128, 255
    mask = load_predictor(str(stored.place)).predict_mask(photo)
    np.testing.assert_array_equal(mask, np.repeat([0, 1, 2], [20, 20, 24])[None].repeat(64, 0))


def choose(stored) -> Any:
    """Return the name of the engine, which stands for it while ``speeds`` is used."""
    return open_backend(stored)


@pytest.mark.parametrize("fastest", ONNX_ENGINES)
def test_choice__is_the_fastest_and_remembered(stored, speeds, fastest):
    speeds["ms"][fastest] = 1.0
    assert choose(stored) == fastest
    assert speeds["asked"] == 2
    assert choose(stored) == fastest
    assert speeds["asked"] == 2


def test_choice__is_measured_again_where_the_memory_is_damaged(stored, speeds, tmp_path):
    choose(stored)
    (path,) = (tmp_path / "cache" / "engines").iterdir()
    for text in ("{", "[]", json.dumps({"openvino": "fast"})):
        path.write_text(text)
        speeds["asked"] = 0
        choose(stored)
        assert speeds["asked"] == 2


def test_choice__works_where_nothing_can_be_remembered(stored, speeds, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert choose(stored) in ONNX_ENGINES


def test_choice__is_the_users(stored, speeds, monkeypatch):
    monkeypatch.setenv("BUNRI_BACKEND", "openvino")
    speeds["ms"]["openvino"] = 100.0
    assert choose(stored) == "openvino"
    assert speeds["asked"] == 0


def test_choice__without_openvino_nothing_is_measured(stored, speeds, monkeypatch):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else name
    )
    assert choose(stored) == "onnxruntime"
    assert speeds["asked"] == 0


def test_open_engine__no_such_engine_or_not_installed(monkeypatch):
    with pytest.raises(InputError, match=r"Did you mean 'openvino'"):
        open_engine("openvin", NETWORK)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="openvino is not installed") as caught:
        open_engine("openvino", NETWORK)
    assert "bunri[openvino]" in caught.value.hint


@pytest.mark.parametrize("text", ["NaN", '{"onnxruntime": NaN, "openvino": 1}', HUGE])
def test_choice__numbers_that_are_no_times_are_measured_again(stored, speeds, tmp_path, text):
    choose(stored)
    (path,) = (tmp_path / "cache" / "engines").iterdir()
    path.write_text(text)
    choose(stored)
    assert speeds["asked"] == 4


def test_choice__an_engine_that_cannot_run_the_network_is_not_taken(stored, speeds, monkeypatch):
    def open_named(name, network):
        if name == "openvino":
            raise ModelError("OpenVINO cannot run the model.")
        return name

    monkeypatch.setattr(backends, "open_engine", open_named)
    assert choose(stored) == "onnxruntime"


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_engine__network_that_fails_on_a_frame(name):
    pytest.importorskip(name)
    model = make_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, 7, 7]), "fixed"))
    model.graph.node[5].input[0] = "reshaped"
    model.graph.node.insert(5, helper.make_node("Reshape", ["logits", "fixed"], ["reshaped"]))
    predictor = Predictor(INFO, open_engine(name, cut_network(model)))
    # On one thread OpenVINO gives the seven by seven of what it has, and says nothing.
    with pytest.raises(ModelError, match=r"cannot run the model|probabilities of shape"):
        predictor.predict_mask(np.zeros((64, 64, 3), np.uint8))


def test_predictor__of_a_file_with_other_classes_than_it_says(tmp_path):
    info = replace(INFO, table=COMPETITION_TABLE)
    (tmp_path / "a.onnx").write_bytes(make_bytes(info=info))
    predictor = load_predictor(str(tmp_path / "a.onnx"))
    with pytest.raises(ModelError, match=r"shape \(3, 64, 64\).* need \(12, 64, 64\)"):
        predictor.predict_mask(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize("name", ONNX_ENGINES)
def test_engine__shares_its_cores_and_takes_them_back(name, monkeypatch):
    pytest.importorskip(name)
    monkeypatch.setattr(backends, "count_cores", lambda: 2)
    engine = open_engine(name, NETWORK)
    assert isinstance(engine, SharingBackend)
    frames = [np.full((3, 64, 64), value, np.float32) for value in np.linspace(-1, 1, 8)]
    with engine.share_cores() as num_at_once, ThreadPoolExecutor(num_at_once) as pool:
        assert num_at_once == 2
        answers = list(pool.map(engine.predict_probs, frames))
    answers.append(engine.predict_probs(frames[0]))
    for frame, probs in zip([*frames, frames[0]], answers, strict=True):
        np.testing.assert_allclose(probs, compute_probs(frame), atol=1e-5)


@pytest.mark.parametrize(("wanted", "cores"), [("1", 1), ("0", 3), ("99", 3), ("", 3), ("two", 3)])
def test_count_cores__heeds_who_gives_fewer(monkeypatch, wanted, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    assert count_cores() == cores
