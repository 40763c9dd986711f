"""Photos with pseudo-labels in training: what they count for, and what is kept of them."""

import json
import math
import shutil

import numpy as np
import pytest
import torch

from bunri.core.errors import AnnotationError
from bunri.images.photos import read_photo
from bunri.images.similarity import hash_pixels
from bunri.labels.coco import read_coco
from bunri.model.bundle import read_bundle
from bunri.training.config import LossConfig, load_config
from bunri.training.losses.losses import compute_loss, compute_weighted_loss, weigh_samples
from bunri.training.plan import RunFolder, RunPlan
from bunri.training.samples.data import PhotoStore, TrainingStream
from bunri.training.samples.loading import iterate_batches
from tests.builders import TINY_SETTINGS, change_document, write_data
from tests.cli.runner import list_train_arguments, run
from tests.doctor.clean_set import draw_scene

CE = LossConfig(ce=1.0, dice=0.0)
BOTH = LossConfig(ce=1.0, dice=1.0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# -- the loss --------------------------------------------------------------------------------


def make_batch(*losses):
    """Return logits and targets whose cross-entropies, sample by sample, are ``losses``.

    Two classes, of which 0 is true everywhere: logits (0, log(e^loss - 1)) give -log p = loss.
    """
    logits = torch.zeros(len(losses), 2, 4, 4)
    for sample, loss in zip(logits, losses, strict=True):
        sample[1] = math.log(math.expm1(loss))
    return logits, torch.zeros(len(losses), 4, 4, dtype=torch.int64)


def test_compute_weighted_loss__by_hand():
    """Two true photos with 1 and 3, two pseudo ones with 5 and 7, at a half: (2*2 + 6) / 3."""
    logits, targets = make_batch(1, 5, 3, 7)
    is_pseudo = torch.tensor([False, True, False, True])
    loss = compute_weighted_loss(logits, targets, is_pseudo, CE, 0.5)
    assert loss.item() == pytest.approx((2 * 2 + 0.5 * 2 * 6) / (2 + 0.5 * 2))


def test_compute_weighted_loss__of_pixels_as_a_mean_over_photos_and_not_over_pixels():
    """Ignored pixels of pseudo photos do not make these count less: (1*2 + 0.25*6) / 1.25."""
    logits, targets = make_batch(2, 6)
    targets[1, 1:] = 255
    loss = compute_weighted_loss(logits, targets, torch.tensor([False, True]), CE, 0.25)
    assert loss.item() == pytest.approx((2 + 0.25 * 6) / 1.25)


@pytest.mark.parametrize(
    ("flags", "weight"),
    [((False, True, False, True), 1.0), ((False,) * 4, 0.1), ((True,) * 4, 0.1)],
)
def test_compute_weighted_loss__is_the_plain_one_where_all_count_the_same(flags, weight):
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 12, 8, 8), torch.randint(0, 12, (4, 8, 8))
    loss = compute_weighted_loss(logits, targets, torch.tensor(flags), BOTH, weight)
    assert torch.equal(loss, compute_loss(logits, targets, BOTH))


def test_compute_weighted_loss__gradients_carry_the_weight():
    logits, targets = make_batch(1, 1)
    logits.requires_grad_()
    compute_weighted_loss(logits, targets, torch.tensor([False, True]), CE, 0.25).backward()
    true, pseudo = logits.grad.abs().sum((1, 2, 3)).tolist()
    assert true > 0
    assert pseudo / true == pytest.approx(0.25)


def test_compute_weighted_loss__pseudo_photos_without_a_sure_pixel_have_no_gradient():
    logits, targets = make_batch(1, 1)
    targets[1] = 255
    logits.requires_grad_()
    loss = compute_weighted_loss(logits, targets, torch.tensor([False, True]), BOTH, 0.5)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad[1].abs().sum() == 0
    assert logits.grad[0].abs().sum() > 0


def test_weigh_samples__by_hand():
    assert weigh_samples(torch.tensor([False, True, True, False]), 0.25) == 2.5
    assert weigh_samples(torch.tensor([False, True]), 1.0) == 2


# -- the stream ------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    """Photos that look like nothing else; pseudo.json labels those of test.json by a model."""
    data = write_data(tmp_path / "data")
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("*.png"))):
        draw_scene(seed, 64, 64).save(path)
    shutil.copy(data.val, data.folder / "pseudo.json")
    document = json.loads((data.folder / "pseudo.json").read_text())
    document["images"] = json.loads(data.test.read_text())["images"]
    document["annotations"] = [
        row | {"pseudo": True} for row in document["annotations"] if row["image_id"] <= 13
    ]
    (data.folder / "pseudo.json").write_text(json.dumps(document))
    return data


def test_stream__says_of_each_sample_whether_its_labels_are_true(data, tmp_path):
    sets = [read_coco(data.train), read_coco(data.folder / "pseudo.json")]
    store = PhotoStore(sets, "largest-first", 2**30)
    plain = [
        f"{key}=0.0"
        for key in (
            "augment.hflip",
            "augment.vflip",
            "augment.brightness",
            "augment.contrast",
            "augment.saturation",
            "augment.hue",
        )
    ]
    config = load_config(
        "",
        [
            *plain,
            "augment.crop_size_px=null",
            "input.size_px=64",
            "data.repeat_rare=0",
            "train.batch_size=4",
            "train.num_workers=0",
        ],
    )
    stream = TrainingStream(store, config, 9)
    batches = list(iterate_batches(stream, 0, config.train))
    pixels, _, flags = (torch.cat([batch[i] for batch in batches]) for i in range(3))
    assert flags.dtype == torch.bool
    assert flags.sum() == 3
    pseudo = {store.load(index)[0].tobytes() for index in range(6, 9)}
    for sample, flag in zip(pixels, flags.tolist(), strict=True):
        image = np.rint(sample.numpy().transpose(1, 2, 0) * 127.5 + 127.5).astype(np.uint8)
        assert (image.tobytes() in pseudo) == flag


def test_stream__mixes_only_photos_of_one_kind(data, tmp_path, monkeypatch):
    sets = [read_coco(data.train), read_coco(data.folder / "pseudo.json")]
    store = PhotoStore(sets, "largest-first", 2**30)
    settings = [*TINY_SETTINGS, "augment.cutmix=1.0", "data.repeat_rare=0"]
    stream = TrainingStream(store, load_config("", settings), 27)
    drawn = []
    draw = stream._draw

    def note(photo, *rest):
        drawn.append(photo)
        return draw(photo, *rest)

    monkeypatch.setattr(stream, "_draw", note)
    flags = [stream[position][2] for position in range(27)]
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    assert [store.is_pseudo(own) for own, _ in pairs] == flags
    assert all(store.is_pseudo(own) == store.is_pseudo(other) for own, other in pairs)
    assert len({other for own, other in pairs if store.is_pseudo(own)}) > 1


# -- a run -----------------------------------------------------------------------------------


def train(data, folder, *settings, also=()):
    arguments = list_train_arguments(data, folder, "train.epochs=1", *settings)
    return run(*arguments, *(part for path in also for part in ("--data", path)))


def name_teacher_of(digest):
    """Return a change to a document: its labels stem from a teacher that learned one photo."""
    teacher = {"name": "t", "sha256": "0" * 64, "trained_on": digest}
    return lambda document: document.update(info={"pseudo_labels": {"teachers": [teacher]}})


def hash_photos(data, part):
    """Return the short hashes of all photos of a part."""
    paths = (data.folder / "batch_01").glob(f"{part}_*.png")
    return {hash_pixels(read_photo(path))[:16] for path in paths}


def test_train__keeps_which_photos_it_and_its_teachers_learned_from(data, tmp_path):
    digest = "0123456789abcdef"
    pseudo = change_document(data.folder / "pseudo.json", name_teacher_of(digest))
    ended = train(data, tmp_path / "run", also=[pseudo])
    assert ended.code == 0, ended.err
    info = read_bundle(tmp_path / "run" / "bundle")
    assert info.photo_hashes == hash_photos(data, "train") | hash_photos(data, "test") | {digest}
    assert (
        "train.json (6 photos), pseudo.json (3 photos with pseudo-labels)"
        in info.training["trained on"]
    )
    assert info.photo_hashes is not None
    card = (tmp_path / "run" / "bundle" / "README.md").read_text()
    assert not any(digest in card for digest in info.photo_hashes)


def test_train__weight_changes_what_is_learned_and_1_does_not(data, tmp_path):
    losses = {}
    for name, weight in (("one", 1.0), ("less", 0.1)):
        settings = (
            "train.batch_size=9",
            "train.samples_per_epoch=9",
            f"data.pseudo_weight={weight}",
        )
        ended = train(data, tmp_path / name, *settings, also=[data.folder / "pseudo.json"])
        assert ended.code == 0, ended.err
        losses[name] = json.loads((tmp_path / name / "metrics.jsonl").read_text())["train_loss"]
    assert losses["one"] != losses["less"]


def test_train__validation_photos_that_a_teacher_learned(data, tmp_path):
    photo = data.folder / "batch_01" / "val_0002.png"
    digest = hash_pixels(read_photo(photo))[:16]
    pseudo = change_document(data.folder / "pseudo.json", name_teacher_of(digest))
    ended = train(data, tmp_path / "run", also=[pseudo])
    assert ended.code == 2
    assert "1 photo(s) of the validation set" in ended.err
    assert "'batch_01/val_0002.png' (val): a teacher of pseudo.json learned its labels" in ended.err
    assert not (tmp_path / "run").exists()


def test_train__pseudo_labels_of_validation_photos(data, tmp_path):
    shutil.copy(data.val, data.folder / "val_pseudo.json")
    pseudo = change_document(
        data.folder / "val_pseudo.json",
        lambda document: document.update(info={"pseudo_labels": {"teachers": []}}),
    )
    ended = train(data, tmp_path / "run", also=[pseudo])
    assert ended.code == 2
    assert "4 photo(s) of the validation set are in training too" in ended.err


# -- validated on ----------------------------------------------------------------------------


def train_on_pseudo_val(data, folder, *more):
    settings = [part for s in (*TINY_SETTINGS, "train.epochs=1") for part in ("--set", s)]
    pseudo = data.folder / "pseudo.json"
    return run("train", "--data", data.train, "--val", pseudo, "--out", folder, *settings, *more)


def test_train__pseudo_labels_to_validate_on(data, tmp_path):
    pseudo = data.folder / "pseudo.json"
    ended = train_on_pseudo_val(data, tmp_path / "run")
    assert ended.code == 2
    assert f"{pseudo} holds pseudo-labels" in ended.err
    assert f"--allow-pseudo {pseudo}" in ended.err
    assert not (tmp_path / "run").exists()


def test_train__pseudo_labels_to_validate_on_if_told_so_also_when_resumed(data, tmp_path):
    pseudo = data.folder / "pseudo.json"
    ended = train_on_pseudo_val(data, tmp_path / "run", "--allow-pseudo", pseudo)
    assert ended.code == 0, ended.err
    folder = RunFolder(tmp_path / "run")
    assert RunPlan.read(folder).read_sets()[1][0].is_pseudo
    content = json.loads(folder.data.read_text())
    assert content["val"][0].pop("allows_pseudo") is True
    folder.data.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match="holds pseudo-labels"):
        RunPlan.read(folder).read_sets()


def test_train__allowing_a_file_that_is_not_validated_on(data, tmp_path):
    ended = train_on_pseudo_val(
        data, tmp_path / "run", "--allow-pseudo", data.folder / "pseud.json"
    )
    assert ended.code == 2
    assert "pseud.json is none of the files to score on. Did you mean" in ended.err
