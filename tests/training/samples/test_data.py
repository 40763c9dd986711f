"""Order and reproducibility of training samples, and the store of photos."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bunri.core.errors import ImageError
from bunri.labels.coco import read_coco
from bunri.training.config import load_config
from bunri.training.samples.data import PhotoStore, TrainingStream, mix_seed, repeat_rare_photos
from bunri.training.samples.loading import iterate_batches
from tests.builders import build_document, change_document, draw_photo, write_data, write_document
from tests.training.painted import PLAIN

FRAME = ("input.size_px=64", "augment.crop_size_px=64")


def configure(*overrides):
    return load_config("", [*FRAME, "data.repeat_rare=0.0", *overrides])


def open_store(path, tmp_path, memory_bytes=2**30, **options):
    dataset = read_coco(path)
    return PhotoStore([dataset], "largest-first", memory_bytes, **options)


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def store(data, tmp_path):
    return open_store(data.train, tmp_path)


def read_stream(store, config, length, epoch, workers=0, batch_size=2):
    stream = TrainingStream(store, config, length)
    train = config.train.model_copy(update={"batch_size": batch_size, "num_workers": workers})
    batches = list(iterate_batches(stream, epoch, train))
    return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])


def find_photo(store, pixels):
    """Return which photo an unchanged sample is."""
    for index in range(len(store)):
        image = store.load(index)[0]
        if np.allclose(pixels.numpy().transpose(1, 2, 0) * 127.5 + 127.5, image, atol=0.01):
            return index
    raise AssertionError("none of the photos")


WHOLE = tuple(f"augment.{key}={json.dumps(value)}" for key, value in PLAIN.items())


def list_photos(store, config, length, epoch):
    return [find_photo(store, p) for p in read_stream(store, config, length, epoch)[0]]


# -- order ---------------------------------------------------------------------------------


def test_stream__epoch_of_all_photos_is_a_permutation(store):
    config = configure(*WHOLE)
    orders = [list_photos(store, config, 6, epoch) for epoch in range(4)]
    assert all(sorted(order) == [0, 1, 2, 3, 4, 5] for order in orders)
    assert len({tuple(order) for order in orders}) > 1  # and not the same each time


def test_stream__short_epochs_go_through_all_photos_too(store):
    """Epochs of 4 of 6 photos: three of them are two permutations, one after the other."""
    config = configure(*WHOLE)
    order = [n for epoch in range(3) for n in list_photos(store, config, 4, epoch)]
    assert sorted(order[:6]) == sorted(order[6:]) == [0, 1, 2, 3, 4, 5]


def test_stream__long_epochs_repeat_no_sample_number(store):
    config = configure(*WHOLE)
    order = list_photos(store, config, 13, 0)
    assert sorted(order[:6]) == sorted(order[6:12]) == [0, 1, 2, 3, 4, 5]


def test_stream__seed_changes_order_and_augmentation(store):
    orders = {tuple(list_photos(store, configure(*WHOLE, f"seed={s}"), 6, 0)) for s in range(5)}
    assert len(orders) > 1
    first, second = (read_stream(store, configure(f"seed={s}"), 6, 0)[0] for s in (1, 2))
    assert not torch.equal(first, second)


# -- a sample is a function of seed and number ---------------------------------------------


@pytest.fixture
def expected(store):
    return read_stream(store, configure(), 6, 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_stream__same_samples_whatever_the_number_of_workers(store, expected, workers):
    found = read_stream(store, configure(), 6, 2, workers)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_stream__same_samples_whatever_the_batch_size(store, expected):
    assert torch.equal(read_stream(store, configure(), 6, 2, batch_size=5)[0], expected[0])


def test_stream__same_samples_whatever_was_asked_before(store, expected):
    stream = TrainingStream(store, configure(), 6)
    stream.epoch = 2
    torch.manual_seed(99)
    for position in (5, 0, 3, 3, 1):
        torch.rand(position + 1)
        np.random.default_rng().random()
        pixels, targets, _ = stream[position]
        assert torch.equal(pixels, expected[0][position])
        assert torch.equal(targets, expected[1][position])


def test_stream__same_samples_whatever_is_kept_in_memory(data, tmp_path, expected):
    without = open_store(data.train, tmp_path, memory_bytes=0)
    assert torch.equal(read_stream(without, configure(), 6, 2)[0], expected[0])


def test_stream__position_counts_on_from_epoch_to_epoch(store):
    """Two epochs of 3 are the samples of one epoch of 6."""
    halves = [read_stream(store, configure(), 3, epoch)[0] for epoch in (0, 1)]
    assert torch.equal(torch.cat(halves), read_stream(store, configure(), 6, 0)[0])


def test_stream__drawing_a_sample_leaves_torchs_generators_alone(store, monkeypatch):
    def reseed_gpus(_seed):
        raise AssertionError("the state of GPUs is not restored")

    stream = TrainingStream(store, configure(), 6)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseed_gpus)
    torch.default_generator.manual_seed(5)
    expected = torch.rand(3)
    torch.default_generator.manual_seed(5)
    stream[0]
    assert torch.equal(torch.rand(3), expected)


def test_stream__same_photo_is_augmented_anew(store):
    """Sample 0 and the sample that shows the same photo a permutation later differ."""
    order = list_photos(store, configure(*WHOLE), 12, 0)
    pixels = read_stream(store, configure(), 12, 0)[0]
    again = order.index(order[0], 6)
    assert not torch.equal(pixels[0], pixels[again])


def test_stream__types_and_shapes(store):
    pixels, targets, _ = TrainingStream(store, configure("augment.crop_size_px=96"), 6)[0]
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.float32, (3, 96, 96))
    assert (targets.dtype, tuple(targets.shape)) == (torch.int64, (96, 96))


@given(st.integers(0, 2**32 - 1), st.integers(0, 10**9))
@settings(max_examples=100, deadline=None)
def test_mix_seed__fits_torch_and_depends_on_everything(seed, number):
    value = mix_seed(seed, "augment", number)
    assert 0 <= value < 2**63
    assert value == mix_seed(seed, "augment", number)
    others = {
        mix_seed(seed, "order", number),
        mix_seed(seed, "augment", number + 1),
        mix_seed((seed + 1) % 2**32, "augment", number),
    }
    assert value not in others
    assert len(others) == 3


# -- opening the store ---------------------------------------------------------------------


def test_store__gives_photos_and_masks_in_file_order(data, store):
    assert len(store) == 6
    for index, name in enumerate(data.shapes["train"]):
        image, mask = store.load(index)
        shapes = data.shapes["train"][name]
        assert np.array_equal(image, np.asarray(draw_photo(shapes, (64, 64))))
        assert np.array_equal(mask, data.truth("train", name))


def test_store__several_sets_one_after_the_other(data, tmp_path):
    sets = [read_coco(data.val), read_coco(data.train)]
    store = PhotoStore(sets, "largest-first", 0)
    assert len(store) == 10
    assert store.items[4].photo.file_name == next(iter(data.shapes["train"]))


def test_store__keeps_photos_up_to_the_limit(data, tmp_path):
    """A photo with its mask takes 64 * 64 * 4 bytes; photos in memory outlive their files."""
    store = open_store(data.train, tmp_path, memory_bytes=2 * 64 * 64 * 4)
    for name in data.shapes["train"]:
        (data.folder / name).unlink()
    store.load(0)
    store.load(1)
    with pytest.raises(ImageError):
        store.load(2)


def test_store__calls_advance_once_a_photo(data, tmp_path):
    calls = []
    open_store(data.train, tmp_path, advance=lambda: calls.append(1))
    assert len(calls) == 6


def test_store__photo_of_another_size_than_the_json(data, tmp_path):
    change_document(data.train, lambda d: d["images"][2].update(height=48, width=80))
    with pytest.raises(ImageError) as e:
        open_store(data.train, tmp_path)
    (problem,) = e.value.problems
    assert "64x64" in problem
    assert "80x48" in problem
    assert "train_0002.png" in problem


def test_store__broken_photos_are_listed_all_at_once(data, tmp_path):
    names = list(data.shapes["train"])
    content = (data.folder / names[1]).read_bytes()
    (data.folder / names[1]).write_bytes(content[: len(content) // 2])
    (data.folder / names[3]).write_bytes(b"")
    (data.folder / names[4]).write_bytes(b"GIF89a...........")
    (data.folder / names[5]).unlink()
    with pytest.raises(ImageError, match="4 photo") as e:
        open_store(data.train, tmp_path)
    problems = e.value.problems
    assert len(problems) == 4
    for name, reason, problem in zip(
        (names[1], names[3], names[4], names[5]),
        ("truncated", "empty", "not a photo", "cannot be read"),
        problems,
        strict=True,
    ):
        assert name in problem
        assert reason in problem


def test_store__photo_without_annotations_is_background(tmp_path):
    draw_photo([], (64, 64)).save(tmp_path / "a.png")
    path = write_document(tmp_path / "d.json", build_document({"a.png": []}, (64, 64)))
    assert not open_store(path, tmp_path).load(0)[1].any()


# -- rare classes --------------------------------------------------------------------------


def test_repeat_rare_photos__by_hand():
    """Of 8 photos all have class 3, two have 5, one has 9: sqrt(0.5 / f) is 0.7, 1.4, 2."""
    classes = [{3}, {3, 5}, {3, 5}, {3, 9}, {3}, {3}, {3}, {3}]
    assert repeat_rare_photos(classes, 0.5) == [0, 1, 2, 3, 3, 4, 5, 6, 7]


def test_repeat_rare_photos__off():
    assert repeat_rare_photos([{1}, set(), {2}], 0.0) == [0, 1, 2]


@given(classes=st.lists(st.sets(st.integers(0, 11)), max_size=12), threshold=st.floats(0, 1))
def test_repeat_rare_photos__every_photo_comes(classes, threshold):
    turn = repeat_rare_photos(classes, threshold)
    assert set(turn) == set(range(len(classes)))
    assert turn == sorted(turn)


def test_training_stream__repeats_rare_photos(tmp_path):
    """Six photos, one class in one of them only: it comes twice a turn at a threshold of 1."""
    data = write_data(tmp_path / "data")
    store = open_store(data.train, tmp_path)
    turn = repeat_rare_photos(store.list_classes(), 1.0)
    config = configure("data.repeat_rare=1.0")
    stream = TrainingStream(store, config, len(turn))
    drawn = sorted(stream._pick_photo(number) for number in range(len(turn)))
    assert drawn == turn
    assert len(turn) > len(store)
