"""Plans of runs: which files with which photos, stored and read back."""

from pathlib import Path

import pytest

from bunri.core.errors import AnnotationError, InputError
from bunri.training.plan import DataSource, RunFolder, RunPlan
from tests.training.tiny import plan_run


def test_data_source__photos_lie_beside_the_file_or_where_said(tmp_path):
    a, b, roots = tmp_path / "a" / "x.json", tmp_path / "b" / "y.json", [tmp_path, tmp_path / "c"]
    beside = DataSource.pair([a, b], [], "--images")
    assert [s.image_root for s in beside] == [tmp_path / "a", tmp_path / "b"]
    said = DataSource.pair([a, b], roots, "--images")
    assert [s.image_root for s in said] == roots
    with pytest.raises(
        AnnotationError, match=r"--images was given 1 time\(s\) for 2 annotation file"
    ):
        DataSource.pair([a, b], roots[:1], "--images")


def test_data_source__pseudo_labels_that_are_allowed_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [Path("a.json"), Path("b.json")]
    allowed = [tmp_path / "b.json"]
    sources = DataSource.pair(files, [], "--val-images", allow_pseudo=allowed)
    assert [source.allows_pseudo for source in sources] == [False, True]
    with pytest.raises(InputError, match=r"--allow-pseudo: c.json is none of the files"):
        DataSource.pair(files, [], "--val-images", allow_pseudo=[Path("c.json")])


def test_run_plan__comes_back_as_written(data, tmp_path):
    plan = plan_run(data, "optim.lr=3e-4", "augment.crop_size_px=null")
    plan.write(RunFolder(tmp_path))
    assert RunPlan.read(RunFolder(tmp_path)) == plan


def test_run_plan__is_found_from_another_folder(data, tmp_path, monkeypatch):
    """Paths are kept absolute."""
    monkeypatch.chdir(data.folder)
    sources = [DataSource.pair([Path(name)], [], "-") for name in ("train.json", "val.json")]
    RunPlan(plan_run(data).config, *sources).write(RunFolder(tmp_path))
    monkeypatch.chdir("/")
    assert RunPlan.read(RunFolder(tmp_path)) == plan_run(data)
