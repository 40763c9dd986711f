"""A trained model that the tests of the command line share and never change."""

import pytest
import torch

from tests.builders import write_data
from tests.cli.runner import list_train_arguments, run


@pytest.fixture(scope="session")
def _cli_threads():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, _cli_threads):
    """A folder with ``data`` and the run ``first``, trained from the command line."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder / "data", size_hw=(48, 64))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BUNRI_CACHE", str(folder / "cache"))
        settings = ("train.samples_per_epoch=12", "optim.lr=3e-3")
        ended = run(*list_train_arguments(data, folder / "first", *settings))
    assert ended.code == 0, ended.err
    (folder / "train_out.txt").write_text(ended.out)
    (folder / "train_err.txt").write_text(ended.err)
    return folder


@pytest.fixture
def model(trained):
    return trained / "first"


@pytest.fixture
def data(tmp_path):
    """A data set that a test may spoil."""
    return write_data(tmp_path / "data", size_hw=(48, 64))
