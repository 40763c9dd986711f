"""What every test gets: a cache of its own, and ``--runslow``."""

import os

import pytest


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
