"""Validation figures from networks whose answers are known."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from bunri.labels.coco import read_coco
from bunri.training.config import load_config
from bunri.training.networks.inference import to_probs
from bunri.training.samples.data import PhotoStore
from bunri.training.validate import validate
from tests.builders import SHAPE_RGB, Shape, build_document, draw_photo, draw_truth, write_document

PLAIN = ["input.size_px=64", "input.normalization=none", "loss.ce=1", "loss.dice=0"]
SHAPES = {
    "a.png": [Shape(5, 4, 4, 40, 30)],
    "b.png": [Shape(7, 10, 20, 30, 40), Shape(3, 36, 2, 60, 20)],
    "c.png": [],
}


class ColorNetwork(torch.nn.Module):
    """Knows the class of each colour, and how sure to be; black padding is class 11."""

    def __init__(self, sureness):
        super().__init__()
        self.sureness = sureness

    def forward(self, pixels):
        logits = torch.zeros(pixels.shape[0], 12, *pixels.shape[2:])
        logits[:, 0] = self.sureness
        for index, color in {**SHAPE_RGB, 11: (0, 0, 0)}.items():
            wanted = torch.tensor(color).view(1, 3, 1, 1) / 255
            is_color = (pixels - wanted).abs().amax(dim=1) < 0.01
            logits[:, 0][is_color] = 0.0
            logits[:, index][is_color] = self.sureness
        return logits


def open_store(folder, size_hw, shapes=SHAPES):
    for name, objects in shapes.items():
        draw_photo(objects, size_hw).save(folder / name)
    path = write_document(folder / "d.json", build_document(shapes, size_hw))
    return PhotoStore([read_coco(path)], "largest-first", 2**30)


def run(store, network, *, batch_size=2, num_samples=0, **options):
    settings = [f"train.batch_size={batch_size}", f"train.num_sample_pictures={num_samples}"]
    config = load_config("", PLAIN + settings)
    return validate(network, store, config, torch.device("cpu"), **options)


@pytest.mark.parametrize("size_hw", [(64, 64), (48, 64), (64, 30)])
def test_validate__sure_and_right(tmp_path, size_hw):
    """Padding is of a wrong class throughout, and may not be seen in any figure."""
    store = open_store(tmp_path, size_hw, {"a.png": [Shape(5, 4, 4, 20, 30)]})
    validation = run(store, ColorNetwork(60.0))
    assert validation.loss == pytest.approx(0.0, abs=1e-6)
    (matrix,) = validation.matrices
    truth = draw_truth([Shape(5, 4, 4, 20, 30)], size_hw)
    expected = np.zeros((12, 12), np.int64)
    expected[0, 0], expected[5, 5] = (truth == 0).sum(), (truth == 5).sum()
    assert np.array_equal(matrix, expected)


def test_validate__masks_are_compared_at_the_photos_size(tmp_path):
    """Photos of 96 x 128 go through frames of 48 x 64 and come back."""
    store = open_store(tmp_path, (96, 128), {"a.png": [Shape(5, 8, 8, 60, 80)]})
    (matrix,) = run(store, ColorNetwork(60.0)).matrices
    assert matrix.sum() == 96 * 128
    assert matrix[0, 0] + matrix[5, 5] > 0.95 * 96 * 128  # all but the outline, blended when shrunk


def test_validate__undecided_network_loses_ln_12(tmp_path):
    validation = run(open_store(tmp_path, (48, 64)), ColorNetwork(0.0))
    assert validation.loss == pytest.approx(math.log(12))


def test_validate__loss_is_the_mean_over_batches(tmp_path):
    """Background costs ln(1 + 11 e^-s), the one photo of class 4 instead s more.

    Two photos and one: the second batch weighs as much as the first.
    """
    sureness = 3.0
    right = math.log(1 + 11 * math.exp(-sureness))
    open_store(tmp_path, (64, 64), {"a.png": [], "b.png": [], "c.png": []})  # all background
    document_with_paper_pack = build_document(
        {"a.png": [], "b.png": [], "c.png": [Shape(4, 0, 0, 64, 64)]}, (64, 64)
    )
    write_document(tmp_path / "d.json", document_with_paper_pack)
    store = PhotoStore([read_coco(tmp_path / "d.json")], "largest-first", 2**30)
    validation = run(store, ColorNetwork(sureness), batch_size=2)
    assert validation.loss == pytest.approx((right + (right + sureness)) / 2)


def test_validate__photos_of_other_shapes_in_one_batch(tmp_path):
    """Upright and lying photos cannot be stacked; each weighs the same."""
    sureness = 3.0
    right = math.log(1 + 11 * math.exp(-sureness))
    sizes = {"a.png": (64, 32), "b.png": (32, 64), "c.png": (64, 32)}
    document = build_document({name: [] for name in sizes}, (64, 32))
    for row in document["images"]:
        row["height"], row["width"] = sizes[row["file_name"]]
        draw_photo([], sizes[row["file_name"]]).save(tmp_path / row["file_name"])
    lying = document["images"][1]["id"]
    document["annotations"].append(
        {
            "id": 1,
            "image_id": lying,
            "category_id": 100 - 4,
            "segmentation": [[0, 0, 64, 0, 64, 32, 0, 32]],
        }
    )
    path = write_document(tmp_path / "d.json", document)
    store = PhotoStore([read_coco(path)], "largest-first", 0)
    validation = run(store, ColorNetwork(sureness), batch_size=3)
    assert validation.loss == pytest.approx((right + (right + sureness) + right) / 3)
    assert [int(m.argmax()) for m in validation.matrices] == [0, 4 * 12, 0]  # in file order


def test_validate__batch_size_changes_no_matrix(tmp_path):
    store = open_store(tmp_path, (48, 64))
    one, three = (run(store, ColorNetwork(1.0), batch_size=n).matrices for n in (1, 3))
    assert np.array_equal(one, three)


@pytest.mark.parametrize(("asked", "given"), [(0, 0), (2, 2), (9, 3)])
def test_validate__samples_are_the_first_photos(tmp_path, asked, given):
    store = open_store(tmp_path, (48, 64))
    samples = run(store, ColorNetwork(60.0), num_samples=asked).samples
    assert len(samples) == given
    for sample, (name, shapes) in zip(samples, SHAPES.items(), strict=False):
        with Image.open(tmp_path / name) as picture:
            assert np.array_equal(sample.image, np.asarray(picture))
        truth = draw_truth(shapes, (48, 64))
        assert np.array_equal(sample.truth, truth)
        assert np.array_equal(sample.prediction, truth)


def test_validate__tells_of_each_round_of_batches(tmp_path):
    rounds: list[int] = []
    run(open_store(tmp_path, (48, 64)), ColorNetwork(1.0), advance=lambda: rounds.append(1))
    assert len(rounds) == 2  # of two photos and of one


def test_validate__keeps_no_gradients(tmp_path):
    network = torch.nn.Conv2d(3, 12, 1)
    run(open_store(tmp_path, (48, 64)), network)
    assert network.weight.grad is None


def test_to_probs__softmax_over_classes_in_float32():
    logits = torch.tensor([0.0, math.log(3.0)]).view(1, 2, 1, 1).expand(1, 2, 2, 3).half()
    probs = to_probs(logits)
    assert (probs.dtype, probs.shape) == (np.dtype(np.float32), (2, 2, 3))
    assert probs[0] == pytest.approx(np.full((2, 3), 0.25), abs=1e-3)
