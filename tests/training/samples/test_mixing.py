"""Samples of two photos and of pasted objects: every pixel keeps its label."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bunri.core.errors import ConfigError
from bunri.core.waste_classes import COMPETITION_TABLE
from bunri.labels.coco import read_coco
from bunri.training.config import AugmentConfig, load_config
from bunri.training.samples import mixing
from bunri.training.samples.data import PhotoStore, TrainingStream
from bunri.training.samples.loading import iterate_batches
from bunri.training.samples.mixing import (
    ObjectPaste,
    build_paste,
    draw_classes,
    draw_rectangle,
    find_classes,
    find_rare_classes,
    mix_pairs,
)
from bunri.training.samples.object_bank import cut_objects
from tests.builders import GROUND_RGB, SHAPE_RGB, write_data
from tests.training.painted import (
    EVERYTHING,
    PLAIN,
    change_nothing_but,
    classify,
    find_inside,
    paint,
)

SIDE = 64
OWN = np.full((SIDE, SIDE, 3), 10, np.uint8), np.full((SIDE, SIDE), 1, np.uint8)
OTHER = np.full((SIDE, SIDE, 3), 20, np.uint8), np.full((SIDE, SIDE), 2, np.uint8)


def refuse_to_draw():
    raise AssertionError("nothing was asked for")


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data")


@pytest.fixture
def store(data, tmp_path):
    return PhotoStore([read_coco(data.train)], "largest-first", 2**30)


def configure(*overrides, **augment):
    values = [f"augment.{key}={json.dumps(value)}" for key, value in augment.items()]
    frame = ["input.size_px=64", "augment.crop_size_px=64"]
    return load_config("", [*frame, "data.repeat_rare=0.9", *values, *overrides])


# -- CutMix and ClassMix -------------------------------------------------------------------


def test_mix__off():
    assert mix_pairs(change_nothing_but(), OWN, refuse_to_draw) is OWN


def test_cutmix__is_one_rectangle_with_its_labels():
    shares = []
    for seed in range(200):
        torch.manual_seed(seed)
        image, mask = mix_pairs(change_nothing_but(cutmix=1.0), OWN, lambda: OTHER)
        assert image.dtype == mask.dtype == np.uint8
        assert np.array_equal(image, np.repeat(mask[..., None] * 10, 3, 2))
        rows, columns = np.flatnonzero((mask == 2).any(1)), np.flatnonzero((mask == 2).any(0))
        assert np.count_nonzero(mask == 2) == len(rows) * len(columns)
        shares.append(np.mean(mask == 2))
    # Half of the area on average, were nothing cut off; what is outside takes some of it.
    assert 0.25 < np.mean(shares) < 0.45
    assert min(shares) < 0.05
    assert max(shares) > 0.7


@given(seed=st.integers(0, 2**32), height=st.integers(1, 99), width=st.integers(1, 99))
def test_draw_rectangle__stays_inside(seed, height, width):
    torch.manual_seed(seed)
    for part, size in zip(draw_rectangle((height, width)), (height, width), strict=True):
        assert 0 <= part.start <= part.stop <= size


def test_draw_rectangle__by_hand(monkeypatch):
    """A quarter of the area is half of each side; around 10, 30 of 40, 60 it sticks out above."""
    answers = iter([0.25, 5.0, 30.0])
    monkeypatch.setattr("bunri.training.samples.mixing.draw", lambda _low, _high: next(answers))
    assert draw_rectangle((40, 60)) == (slice(0, 15), slice(15, 45))


def test_classmix__lays_half_the_classes_over_in_place():
    other = np.zeros((SIDE, SIDE), np.uint8)
    for index, top in ((3, 0), (5, 16), (7, 32)):
        other[top : top + 10] = index
    other[50:] = 255
    image = np.repeat(other[..., None], 3, 2)
    laid = set()
    for seed in range(40):
        torch.manual_seed(seed)
        config = change_nothing_but(classmix=1.0)
        pixels, labels = mix_pairs(config, OWN, lambda: (image, other))
        chosen = set(np.unique(labels).tolist()) - {1}
        assert len(chosen) == 2  # half of three, rounded up
        assert np.array_equal(labels != 1, np.isin(other, list(chosen)))
        assert np.array_equal(pixels[..., 0], np.where(labels == 1, 10, other))
        laid |= chosen
    assert laid == {3, 5, 7}  # never the background, never what is ignored


@pytest.mark.parametrize("value", [0, 255])
def test_classmix__of_a_photo_without_objects_changes_nothing(value):
    other = OTHER[0], np.full((SIDE, SIDE), value, np.uint8)
    image, mask = mix_pairs(change_nothing_but(classmix=1.0), OWN, lambda: other)
    assert np.array_equal(image, OWN[0])
    assert np.array_equal(mask, OWN[1])
    assert draw_classes(other[1]).size == 0


def test_mix__both_ways_use_one_other_photo():
    calls = []

    def draw_other():
        calls.append(1)
        return OTHER

    mix_pairs(change_nothing_but(cutmix=1.0, classmix=1.0), OWN, draw_other)
    assert calls == [1]


@pytest.mark.parametrize("change", ["cutmix", "classmix"])
def test_mix__as_often_as_set(change):
    """Of 100 at a half: 50, give or take 4 x 5."""
    config, count = change_nothing_but(**{change: 0.5}), 0
    for seed in range(100):
        torch.manual_seed(seed)
        count += mix_pairs(config, OWN, lambda: OTHER) is not OWN
    assert 30 <= count <= 70


# -- pasting -------------------------------------------------------------------------------


def paste(store, image, mask, seed, chance=1.0, classes=(1, 3, 5, 7)):
    bank = cut_objects(store, classes, SIDE)
    torch.manual_seed(seed)
    step = ObjectPaste(bank, chance)
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    changed, labels = step(pixels, torch.from_numpy(mask))
    return changed.permute(1, 2, 0).numpy(), labels.numpy()


def test_paste__objects_bring_their_labels(store):
    image, mask = paint((SIDE, SIDE), [])
    assert (image == GROUND_RGB).all()
    seen = set()
    for seed in range(30):
        changed, labels = paste(store, image, mask, seed)
        assert (labels != 0).any()
        assert np.array_equal(classify(changed), labels)
        seen |= set(np.unique(labels).tolist())
    assert not mask.any()  # the photo that was given is as it was
    assert seen == {0} | set().union(*store.list_classes())


def test_paste__differs_in_scale_turn_and_place(store):
    image, mask = paint((SIDE, SIDE), [])
    shapes, places = set(), set()
    for seed in range(60):
        _, labels = paste(store, image, mask, seed, classes=[5])
        rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
        shapes.add((len(rows), len(columns)))
        places.add((rows[0] // 16, columns[0] // 16))
    assert any(h > w for h, w in shapes)
    assert any(h < w for h, w in shapes)
    assert len(shapes) > 20
    assert len(places) > 6


def test_paste__one_to_three_objects_at_half_to_one_and_a_half_their_size(store, monkeypatch):
    """Measured from the calls that paste a single object."""
    laid, draw_on = [], mixing._paste

    def note(pixels, labels, item, middle_yx):
        alone = np.zeros((300, 300), np.uint8)
        draw_on(np.zeros((300, 300, 3), np.uint8), alone, item, (150, 150))
        laid.append(np.count_nonzero(alone) / item.inside.sum())
        draw_on(pixels, labels, item, middle_yx)

    monkeypatch.setattr(mixing, "_paste", note)
    counts = set()
    image, mask = paint((SIDE, SIDE), [])
    for seed in range(40):
        before = len(laid)
        paste(store, image, mask, seed)
        counts.add(len(laid) - before)
    assert counts == {1, 2, 3}
    assert 0.2 < min(laid) < 0.4  # areas: a half squared, 1.5 squared
    assert 1.9 < max(laid) < 2.5


def test_paste__ignored_pixels_stay(store):
    image, mask = paint((SIDE, SIDE), [])
    mask[:, 32:] = 255
    image[:, 32:] = 0
    for seed in range(20):
        changed, labels = paste(store, image, mask, seed)
        assert (labels[:, 32:] == 255).all()
        assert not changed[:, 32:].any()
        assert (labels[:, :32] != 0).any()


def test_paste__onto_nothing_but_ignored(store):
    image, mask = np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)
    changed, labels = paste(store, image, mask, 0)
    assert np.array_equal(changed, image)
    assert np.array_equal(labels, mask)


def test_paste__onto_one_pixel(store):
    image, mask = paint((1, 1), [])
    changed, labels = paste(store, image, mask, 0)
    assert changed.shape == (1, 1, 3)
    assert labels[0, 0] in SHAPE_RGB


def test_paste__as_often_as_set(store):
    """Of 100 at a half: 50, give or take 4 x 5."""
    image, mask = paint((SIDE, SIDE), [])
    count = sum(bool(paste(store, image, mask, seed, 0.5)[1].any()) for seed in range(100))
    assert 30 <= count <= 70


def test_find_rare_classes__by_hand():
    """In 4, 2 and 1 of 8 photos; a class in none is not rare but absent."""
    classes = [{3, 5}, {3, 5}, {3}, {3, 9}, set(), set(), set(), {0}]
    assert find_rare_classes(classes, 0.5) == [5, 9]
    assert find_rare_classes(classes, 0.51) == [3, 5, 9]
    assert find_rare_classes(classes, 0.25) == [9]
    assert find_rare_classes(classes, 0.0) == []


def test_find_classes__case_and_order_do_not_matter():
    assert find_classes(["battery", " Metal", "BATTERY"], COMPETITION_TABLE) == [5, 10]


def test_find_classes__lists_every_unknown_name_with_the_nearest():
    with pytest.raises(ConfigError, match="paste_classes") as e:
        find_classes(["Batery", "Metal", "Background"], COMPETITION_TABLE)
    first, second = e.value.problems
    assert "'Batery'" in first
    assert "Did you mean 'Battery'" in first
    assert "'Background'" in second


def test_build_paste__takes_rare_classes_or_named_ones(store):
    rare = find_rare_classes(store.list_classes(), 0.5)
    assert rare
    config = configure("data.repeat_rare=0.5", paste=1.0)
    drawn = build_paste(config, store, COMPETITION_TABLE)
    assert drawn is not None
    image, mask = paint((SIDE, SIDE), [])
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        _, labels = drawn(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))
        seen |= set(np.unique(labels).tolist())
    assert seen - {0} == set(rare)
    assert build_paste(configure(), store, COMPETITION_TABLE) is None


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["data.repeat_rare=0.0"], ["no class is in fewer", "repeat_rare = 0 "]),
        (["augment.paste_classes=[Battery, Clothing]"], ["Battery, Clothing"]),
    ],
)
def test_build_paste__nothing_to_paste(store, overrides, words):
    with pytest.raises(ConfigError, match="nothing to paste") as e:
        TrainingStream(store, configure("augment.paste=0.5", *overrides), 6)
    for word in (*words, "augment.paste_classes"):
        assert word in str(e.value)


# -- in the stream -------------------------------------------------------------------------


def read(store, config, workers=0, epoch=1):
    stream = TrainingStream(store, config, 6)
    train = config.train.model_copy(update={"batch_size": 2, "num_workers": workers})
    batches = list(iterate_batches(stream, epoch, train))
    return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])


@pytest.mark.parametrize("crop_size_px", [64, None])
def test_stream__everything_on_is_the_same_with_any_number_of_workers(store, crop_size_px):
    config = configure(**{**EVERYTHING, "crop_size_px": crop_size_px})
    expected = read(store, config)
    for workers in (1, 2):
        found = read(store, config, workers)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
    assert expected[0].shape == (6, 3, 64, 64)
    assert set(torch.unique(expected[1]).tolist()) <= {0, *SHAPE_RGB, 255}


def test_stream__everything_on_is_the_same_whatever_was_asked_before(store):
    config = configure(**EVERYTHING)
    expected = read(store, config, epoch=2)
    stream = TrainingStream(store, config, 6)
    stream.epoch = 2
    for position in (5, 0, 3, 3):
        torch.manual_seed(position)
        pixels, targets, _ = stream[position]
        after = torch.rand(1)
        torch.manual_seed(position)
        assert torch.equal(after, torch.rand(1))  # torch's generator was left alone
        assert torch.equal(pixels, expected[0][position])
        assert torch.equal(targets, expected[1][position])


def test_stream__everything_on_is_the_same_with_any_number_of_threads(store):
    """Loader processes have one thread each, and the training process all of them."""
    config, before = configure(**{**EVERYTHING, "crop_size_px": 256}), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(read(store, config))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("change", ["cutmix", "classmix", "paste"])
def test_stream__mixed_pixels_bring_their_labels(store, change):
    plain = {**PLAIN, "crop_size_px": 64, "crop_area": (1.0, 1.0), "crop_aspect": (1.0, 1.0)}
    before = TrainingStream(store, configure(**plain), 30)
    stream = TrainingStream(store, configure(**{**plain, change: 1.0}), 30)
    changed = 0
    for position in range(30):
        pixels, targets, _ = stream[position]
        image = (pixels.numpy().transpose(1, 2, 0) * 127.5 + 127.5).round()
        assert np.array_equal(classify(image), targets.numpy())
        changed += not torch.equal(targets, before[position][1])
    assert changed >= 15  # ground over ground shows nowhere


def test_stream__other_photo_is_any_of_training_changed_in_its_own_way(store):
    """Every photo comes, flipped and as it is."""
    config = configure(**{**PLAIN, "hflip": 0.5, "crop_size_px": None})
    stream = TrainingStream(store, config, 6)
    masks = [store.load(n)[1] for n in range(len(store))]
    found = set()
    for number in range(80):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            _, labels = stream._draw_partner(0, number)
        found |= {
            (n, flipped)
            for n, mask in enumerate(masks)
            for flipped in (False, True)
            if np.array_equal(labels, mask[:, ::-1] if flipped else mask)
        }
    assert len(found) == 2 * len(store)


def test_stream__interiors_tell_their_class_with_all_geometry_and_mixing(store):
    """All that moves pixels, at once.

    Where a photo is cut off right at an object's soft edge, a pixel or two differ.
    """
    moving = ("quarter_turn", "rotate", "crop_object", "grid", "elastic", "hflip", "vflip",
              "cutmix", "classmix", "paste")  # fmt: skip
    config = configure(**{**PLAIN, "crop_size_px": 128, **dict.fromkeys(moving, 1.0)})
    stream, objects = TrainingStream(store, config, 20), 0
    for position in range(20):
        pixels, targets, _ = stream[position]
        labels = targets.numpy().astype(np.uint8)
        image = (pixels.numpy().transpose(1, 2, 0) * 127.5 + 127.5).round()
        inside = find_inside(labels) & (labels != 255)
        assert np.mean(classify(image)[inside] != labels[inside]) < 0.005
        objects += int(np.count_nonzero(labels[inside]))
    assert objects > 5000


def test_painted__everything_names_every_chance():
    """A change that is added to the settings is in these tests, or this one fails."""
    chances = {
        name
        for name, value in AugmentConfig().model_dump().items()
        if isinstance(value, float) and name != "rotate_deg"
    }
    assert set(EVERYTHING) == chances
