"""What every test gets: a cache of its own, ``--runslow``, and the real photos if there are any."""

import os
import signal
from pathlib import Path

# Tests run side by side, one to a core; two threads each would wait for one another. Set here,
# before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# A shell that starts tests in the background lets them ignore Ctrl-C; the commands that they
# start would inherit that, and could not be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast the machine is today says nothing about the code.
settings.register_profile("bunri", deadline=None, print_blob=True)
settings.load_profile("bunri")

REPOSITORY = Path(__file__).parents[1]


def pytest_addoption(parser):
    parser.addoption("--runslow", action="store_true", help="also run tests marked slow")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--runslow") or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="slow; run with --runslow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    """Keep masks of one test from the next, and all of them out of the user's cache."""
    monkeypatch.setenv("BUNRI_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def photos() -> Path:
    """Return the folder of the real photos; tests that use it are marked ``photos``."""
    folder = Path(os.environ.get("BUNRI_PHOTOS") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(
            f"there are no real photos: {folder} is not a folder; "
            "name one with the environment variable BUNRI_PHOTOS"
        )
    return folder
