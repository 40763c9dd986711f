"""Training by folds: each photo validated on once, copies together, nothing done twice."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from bunri.core.errors import AnnotationError, InputError, RunError
from bunri.labels.coco import read_coco
from bunri.model.bundle import read_bundle
from bunri.scores.intervals import bootstrap_scores
from bunri.training import folds
from bunri.training.config import load_config, read_recipe
from bunri.training.folds import FoldsFolder, FoldsPlan, FoldsRequest, run_folds, start_folds
from bunri.training.listener import TrainingListener
from bunri.training.plan import DataSource
from tests.builders import TINY_SETTINGS, change_document, write_data
from tests.doctor.clean_set import draw_scene


@pytest.fixture
def data(tmp_path):
    data = write_data(tmp_path / "data", (9, 5, 3))
    for seed, path in enumerate(sorted((data.folder / "batch_01").glob("*.png"))):
        draw_scene(seed, 64, 64).save(path)
    return data


def request_folds(*files, num_folds=3, also=(), settings=()):
    tiny = [*TINY_SETTINGS, "train.epochs=1", "train.samples_per_epoch=3", *settings]
    return FoldsRequest(
        load_config(read_recipe("fpn-lite0"), tiny),
        DataSource.pair(files, [], "--images"),
        DataSource.pair(also, [], "--also-images"),
        num_folds,
    )


def start(folder, *files, **options):
    start_folds(request_folds(*files, **options), FoldsFolder(folder))
    return FoldsFolder(folder)


def read_names(sources):
    sets = [read_coco(source.annotations, image_root=source.image_root) for source in sources]
    return [photo.file_name for dataset in sets for photo in dataset.photos]


def list_sources(plan):
    return [(run.train, run.val) for run in plan.runs]


# -- who is in which fold ----------------------------------------------------------------------


def test_start_folds__each_photo_is_validated_on_once_and_trained_on_else(data, tmp_path):
    folder = start(tmp_path / "run", data.train, data.val)
    plan = FoldsPlan.read(folder)
    everything = sorted([*data.shapes["train"], *data.shapes["val"]])
    validated = [name for _, val in list_sources(plan) for name in read_names(val)]
    assert sorted(validated) == everything
    for train, val in list_sources(plan):
        assert sorted(read_names(train) + read_names(val)) == everything
        assert 4 <= len(read_names(val)) <= 5


def test_start_folds__labels_and_photos_are_the_same_as_before(data, tmp_path):
    folder = start(tmp_path / "run", data.train)
    truth = read_coco(data.train)
    rows = {p.file_name: truth.annotations[p.id] for p in truth.photos}
    for train, val in list_sources(FoldsPlan.read(folder)):
        for source in (*train, *val):
            part = read_coco(source.annotations, image_root=source.image_root)
            assert not part.find_missing_photos()
            for photo in part.photos:
                mine, theirs = part.annotations[photo.id], rows[photo.file_name]
                assert [a.category_id for a in mine] == [a.category_id for a in theirs]


def test_start_folds__copies_stay_together_also_across_files(data, tmp_path):
    photos = data.folder / "batch_01"
    image = np.asarray(Image.open(photos / "train_0003.png"))[:, ::-1]
    Image.fromarray((image * 1.1).clip(0, 255).astype(np.uint8)).save(photos / "val_0002.png")
    shutil.copy(photos / "train_0000.png", photos / "train_0007.png")
    for seed in range(3):
        folder = start(tmp_path / f"run{seed}", data.train, data.val, settings=(f"seed={seed}",))
        first, second = FoldsPlan.read(folder).fold_of
        assert first[3] == second[2]
        assert first[0] == first[7]


def test_start_folds__is_the_same_for_the_same_seed(data, tmp_path):
    one, two = (FoldsPlan.read(start(tmp_path / name, data.train)) for name in ("a", "b"))
    assert one.fold_of == two.fold_of


def test_start_folds__files_to_train_on_alone_are_in_every_fold(data, tmp_path):
    folder = start(tmp_path / "run", data.train, also=[data.val])
    for train, val in list_sources(FoldsPlan.read(folder)):
        assert train[-1].annotations == data.val
        assert not set(read_names(val)) & set(data.shapes["val"])


def test_start_folds__a_small_file_is_missing_where_it_has_no_photo(data, tmp_path):
    def keep_one(document):
        document["images"] = document["images"][:1]
        document["annotations"] = [
            row for row in document["annotations"] if row["image_id"] == document["images"][0]["id"]
        ]

    change_document(data.val, keep_one)
    folder = start(tmp_path / "run", data.train, data.val)
    assert sorted(len(val) for _, val in list_sources(FoldsPlan.read(folder))) == [1, 1, 2]


# -- refused -----------------------------------------------------------------------------------


def test_start_folds__pseudo_labels_to_validate_on(data, tmp_path):
    change_document(data.val, lambda d: d.update(info={"pseudo_labels": {"teachers": []}}))
    with pytest.raises(AnnotationError, match="--also-train") as caught:
        start(tmp_path / "run", data.train, data.val)
    assert caught.value.problems == (str(data.val),)
    assert not (tmp_path / "run").exists()
    start(tmp_path / "run", data.train, also=[data.val])


def test_start_folds__more_folds_than_photos(data, tmp_path):
    with pytest.raises(InputError, match="10"):
        start(tmp_path / "run", data.train, num_folds=10)
    assert not (tmp_path / "run").exists()


def test_start_folds__a_broken_photo(data, tmp_path):
    (data.folder / "batch_01" / "train_0004.png").write_bytes(b"no photo")
    with pytest.raises(InputError, match="1 photo") as caught:
        start(tmp_path / "run", data.train)
    assert "--no-photos" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_start_folds__a_used_folder(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note").write_text("mine")
    with pytest.raises(RunError, match=r"not empty.*\n.*--resume"):
        start(tmp_path / "run", data.train)
    with pytest.raises(RunError, match="is a file"):
        start(tmp_path / "run" / "note", data.train)


def test_run_folds__a_file_that_changed_since(data, tmp_path):
    folder = start(tmp_path / "run", data.train, also=[data.val])
    change_document(data.val, lambda d: d["images"].pop())
    with pytest.raises(RunError, match="changed since") as caught:
        run_folds(folder, score_by_number(folder))
    assert caught.value.problems == (f"{data.val} has another content",)


def test_plan__damaged(data, tmp_path):
    folder = start(tmp_path / "run", data.train)
    folder.plan.write_text('{"runs": [{}], "folds": []}')
    with pytest.raises(RunError, match=r"plan\.json is incomplete or damaged"):
        FoldsPlan.read(folder)


# -- training ----------------------------------------------------------------------------------


def score_by_number(folder, scored=None):
    """Return a score that gives each photo a matrix from which its name can be told."""

    def score(run, sources):
        assert read_bundle(run.bundle).photo_hashes
        if scored is not None:
            scored.append(run.path.name)
        return np.stack([mark_photo(name) for name in read_names(sources)])

    return score


def mark_photo(name):
    """Return a matrix whose pixel count is the number in the photo's name, plus 1."""
    matrix = np.zeros((12, 12), np.int64)
    matrix[0, 0] = int(name[-8:-4]) + 1
    return matrix


class Stopping(TrainingListener):
    """Stops training with the first step of the second fold."""

    def start_fold(self, number):
        self.number = number

    def end_step(self, loss):
        if self.number == 2:
            raise KeyboardInterrupt


def test_run_folds__each_fold_once_whatever_happens(data, tmp_path, monkeypatch):
    folder = start(tmp_path / "run", data.train, num_folds=2)
    scored: list[str] = []
    whole: list[np.ndarray] = []
    score = score_by_number(folder, scored)

    # A process that was killed while the plan of its first fold was being written.
    folder.get_run(1).path.mkdir()
    folder.get_run(1).data.write_text("{}")
    with pytest.raises(KeyboardInterrupt):
        run_folds(folder, score, Stopping())
    assert scored == ["fold_1"]
    assert not folder.out_of_fold.exists()
    weights = folder.get_run(1).bundle / "model.safetensors"
    kept = weights.stat().st_mtime_ns

    def note(matrices):
        whole.append(matrices)
        return bootstrap_scores(matrices)

    monkeypatch.setattr(folds, "bootstrap_scores", note)
    result = run_folds(folder, score)
    assert scored == ["fold_1", "fold_2"]
    assert weights.stat().st_mtime_ns == kept
    # In the order of the file, not fold by fold.
    assert whole[0][:, 0, 0].tolist() == list(range(1, 10))
    assert result.scores.num_photos == 9
    assert sorted(scores.num_photos for scores in result.folds) == [4, 5]
    content = json.loads(folder.out_of_fold.read_text())
    assert content["num_photos"] == 9
    assert content["miou"]["global"] == 1.0
    assert content["miou"]["batch_size"] == 3
    assert [row["run"] for row in content["folds"]] == ["fold_1", "fold_2"]

    # Scores that are damaged, or of other photos, are made again; nothing is trained.
    folder.get_matrices(1).write_bytes(b"half")
    np.save(folder.get_matrices(2), np.zeros((1, 12, 12), np.int64))
    run_folds(folder, score, Stopping())
    assert scored == ["fold_1", "fold_2"] * 2
    run_folds(folder, score, Stopping())
    assert len(scored) == 4
