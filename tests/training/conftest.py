"""Fixtures of training: data, and finished and stopped runs that are made once."""

import shutil

import pytest

from bunri.training.plan import RunFolder
from tests.builders import write_data
from tests.training.tiny import THREE_EPOCHS, StoppingListener, cut_power, train


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Return data that no test may change."""
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def unbroken(data, tmp_path_factory):
    """Return a finished run of three epochs that no test may change."""
    return train(data, tmp_path_factory.mktemp("unbroken") / "run", *THREE_EPOCHS)[0]


@pytest.fixture(scope="session")
def _original(tmp_path_factory):
    path = tmp_path_factory.mktemp("original")
    with pytest.raises(ValueError, match="power cut"):
        train(
            write_data(path),
            path / "run",
            "train.samples_per_epoch=3",
            listener=StoppingListener(2, cut_power),
        )
    return path


@pytest.fixture
def stopped(_original, tmp_path):
    """Return a copy of a run of one of its two epochs, with data of its own."""
    shutil.copytree(_original, tmp_path, dirs_exist_ok=True)
    folder = RunFolder(tmp_path / "run")
    folder.data.write_text(folder.data.read_text().replace(str(_original), str(tmp_path)))
    assert folder.checkpoint.exists()
    return folder
