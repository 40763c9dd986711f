"""The public Python API: its examples run, its page is current, its errors are bunri's own."""

import doctest
import importlib.util
import inspect
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import bunri
from bunri import api
from bunri.core.errors import ConfigError, ImageError, InputError, ModelError, PathError
from bunri.core.files import hash_file
from bunri.scenes import render_scene, write_sample_dataset
from tests.builders import TINY_SETTINGS
from tests.cli.runner import run

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Rendered scenes and a tiny trained run in the layout of the examples."""
    folder = tmp_path_factory.mktemp("api")
    data = write_sample_dataset(folder / "data", num_scenes=20, size_px=64)
    shutil.copy(next(data.root.glob("batch_01_vt/*.jpg")), folder / "data" / "photo.jpg")
    return folder


@pytest.fixture(autouse=True, scope="module")
def one_engine():
    """Spare the measurement of engines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUNRI_BACKEND", "onnxruntime")
        yield


@pytest.fixture(scope="module")
def model():
    return bunri.load_model("bunri-small")


@pytest.fixture(scope="module")
def photo():
    return render_scene(3, 96).image


def test_import__is_lazy_and_hands_on_the_public_names():
    program = "import sys, bunri; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert {*api.__all__, "__version__"} == {*bunri.__all__} <= {*dir(bunri)}
    assert bunri.load_model is api.load_model
    with pytest.raises(AttributeError, match="no attribute 'laod_model'"):
        bunri.laod_model  # noqa: B018


def test_examples__do_what_they_show(folder, monkeypatch):
    monkeypatch.chdir(folder)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    docs = {name: inspect.getdoc(getattr(api, name)) or "" for name in api.__all__}
    shown = [name for name, doc in docs.items() if ">>>" in doc]
    for name in sorted(shown, key=_rank):
        doc = docs[name]
        test = parser.get_doctest(doc, {"bunri": bunri}, name, None, None)
        runner.run(test)
    result = runner.summarize()
    assert result.failed == 0
    assert result.attempted >= 15


@pytest.mark.parametrize("page", ["README.md", "README.ko.md", "docs/guide.md"])
def test_pages__python_runs(page, capsys):
    text = (ROOT / page).read_text("utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    assert len([line for line in block.splitlines() if line]) <= 6
    exec(compile(block, page, "exec"), {})
    assert capsys.readouterr().out.startswith("(480, 640) [(")


def _rank(name):
    """Place examples that read files after those that write them."""
    return {"write_submission": 1, "check_submission": 2}.get(name, 0)


def test_page__is_written_from_the_docstrings():
    spec = importlib.util.spec_from_file_location("page", ROOT / "tools" / "write_api_page.py")
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    assert {*page._NAMES, "BunriError"} == {*api.__all__}
    assert page.PAGE.read_text("utf-8") == page.write_page(), "run: python tools/write_api_page.py"


def test_predict__every_kind_of_photo_gives_the_same_mask(model, photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    expected = model.predict(photo)
    assert expected.mask.shape == photo.shape[:2]
    assert expected.mask.dtype == np.uint8
    with path.open("rb") as file:
        content = path.read_bytes()
        kinds = [str(path), path, content, io.BytesIO(content), file, Image.open(path)]
        for prediction in model.predict_batch(kinds):
            np.testing.assert_array_equal(prediction.mask, expected.mask)


def test_predict__a_picture_is_turned_upright(model, photo, tmp_path):
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo[:64]).save(path, exif=exif)
    assert model.predict(Image.open(path)).mask.shape == (96, 64)


def test_prediction__probs_shares_and_regions_agree_with_the_mask(model, photo):
    prediction = model.predict(photo)
    probs = prediction.probs()
    assert probs.shape == (12, *photo.shape[:2])
    np.testing.assert_allclose(probs.sum(axis=0), 1, atol=1e-4)
    np.testing.assert_array_equal(probs.argmax(axis=0), prediction.mask)
    assert sum(found.area_px for found in prediction.classes) == prediction.mask.size
    areas = {found.index: found.area_px for found in prediction.classes if found.index}
    regions = prediction.regions(min_share=0)
    for index, area_px in areas.items():
        assert sum(r.area_px for r in regions if r.class_index == index) == area_px


def test_save__mask_overlay_and_regions(model, photo, tmp_path):
    prediction = model.predict(photo)
    with Image.open(prediction.save(tmp_path / "mask.png")) as mask:
        np.testing.assert_array_equal(np.asarray(mask), prediction.mask)
    with Image.open(prediction.save(tmp_path / "overlay.jpg")) as overlay:
        assert overlay.width >= photo.shape[1]
    content = json.loads(prediction.save(tmp_path / "regions.json").read_text("utf-8"))
    assert content["height_px"] == photo.shape[0]
    assert len(content["regions"]) == len(prediction.regions())
    with pytest.raises(InputError, match=r"cannot be saved as 'mask\.bmp'"):
        prediction.save(tmp_path / "mask.bmp")


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        (np.zeros((3, 8, 9), np.uint8), "look like (3, H, W)"),
        (np.zeros((8, 9, 3), np.float32), "this one is float32"),
        (np.zeros((0, 9, 3), np.uint8), "no pixels"),
        (b"", "is empty"),
        (b"no photo", "is not a photo"),
        ("https://example.org/photo.jpg", "is a URL"),
        ("nowhere.jpg", "cannot be read"),
        (io.StringIO("text"), "binary file"),
        (5, "not int"),
    ],
)
def test_predict__no_photo(model, photo, message):
    with pytest.raises(ImageError) as caught:
        model.predict(photo)
    assert message in str(caught.value)


def test_predict__a_closed_file(model, photo, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(photo).save(path)
    with path.open("rb") as file, Image.open(path) as picture:
        pass
    for closed in (file, picture):
        with pytest.raises(ImageError, match="closed"):
            model.predict(closed)


def test_load_model__settings_and_their_faults():
    assert bunri.load_model("bunri-small", scales=[1.2]).settings.scales == (1.2,)
    with pytest.raises(ConfigError) as caught:
        bunri.load_model("no such model", scale=2, min_region_share=3)
    assert "Did you mean 'scales'" in str(caught.value)
    assert "min_region_share: 3" in str(caught.value)


@pytest.mark.parametrize("model", ["no such model", "https://example.org/model.onnx", __file__])
def test_load_model__no_model(model):
    with pytest.raises(ModelError):
        bunri.load_model(model)


def test_load_model__several_are_an_ensemble(photo):
    both = bunri.load_model(["bunri-small", "bunri-small"], weights=[2, 1])
    np.testing.assert_array_equal(both.predict(photo).mask, bunri.load_model().predict(photo).mask)
    with pytest.raises(InputError, match="3 are 1"):
        bunri.load_model(["bunri-small", "bunri-small"], weights=[3])


def test_read_coco__no_such_file(tmp_path):
    with pytest.raises(PathError):
        bunri.read_coco(tmp_path / "none.json")


def test_write_submission__equals_the_command(folder, tmp_path):
    dataset, model = bunri.read_coco(folder / "data" / "test.json"), bunri.load_model()
    masks = ((p.file_name, model.predict(dataset.path_of(p)).mask) for p in dataset.photos)
    assert bunri.write_submission(tmp_path / "a.csv", masks) == len(dataset.photos)
    ended = run("submit", "bunri-small", folder / "data" / "test.json", "--out", tmp_path / "b.csv")
    assert ended.code == 0, ended.err
    assert hash_file(tmp_path / "a.csv") == hash_file(tmp_path / "b.csv")
    check = bunri.check_submission(tmp_path / "a.csv", folder / "data" / "train.json")
    assert not check.ok


def test_export__a_model_without_torch_weights(tmp_path):
    """The export itself is tested with the command, which calls the same function."""
    with pytest.raises(ModelError, match="bunri-small"):
        bunri.export("bunri-small", tmp_path / "out")


def test_train__fine_tunes_a_run_in_one_call(folder, tmp_path):
    pairs = (setting.split("=") for setting in TINY_SETTINGS)
    settings = {key: yaml.safe_load(value) for key, value in pairs}
    files = (folder / "data" / "train.json", folder / "data" / "val.json")
    bunri.train(*files, tmp_path / "first", settings=settings)
    second = bunri.train(*files, tmp_path / "second", settings=settings, weights=tmp_path / "first")
    assert second.predict(folder / "data" / "photo.jpg").mask.shape == (64, 64)
