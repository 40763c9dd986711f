"""The script that makes the shipped model: its steps, their order, and calling it again."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bunri.cli import load_command
from bunri.training.config import load_config, read_recipe

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_model", ROOT / "tools" / "make_model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def steps(script, tmp_path):
    photos = script.Photos(tmp_path / "photos")
    return list(script.list_steps(photos, tmp_path / "out", compares=True))


@pytest.fixture
def calls(script, monkeypatch):
    """Record commands instead of running them; the one named in ``fails`` fails."""
    made = SimpleNamespace(commands=[], fails=None)

    def run(command, check):
        made.commands.append(command[3:])
        return SimpleNamespace(returncode=int(command[3] == made.fails))

    monkeypatch.setattr(script.subprocess, "run", run)
    return made


def test_steps__are_commands_of_bunri(steps):
    for step in steps:
        name, *arguments = step.command
        with load_command(name).make_context(name, list(arguments)):
            pass  # an option that is not there would raise


def test_steps__take_test_photos_without_labels_only(script, steps):
    test = str(script.Photos(steps[0].run.parents[1] / "photos").test)
    assert {step.command[0] for step in steps if test in step.command} == {"submit", "pseudo-label"}


def test_steps__need_nothing_that_is_made_later(steps):
    made = [str(step.makes.parent if step.run else step.makes) for step in steps]
    for place, step in enumerate(steps):
        assert not set(step.command) & set(made[place + 1 :])


def test_steps__settings_are_of_their_recipe(script):
    runs = {name: ("best-cpu", settings) for name, settings in script.TEACHERS.items()}
    runs |= {"student": ("best-cpu", script.STUDENT), **script.REFERENCES}
    for recipe, settings in runs.values():
        load_config(read_recipe(recipe), settings)


def test_list_steps__compares_only_when_asked(script, tmp_path):
    steps = list(script.list_steps(script.Photos(tmp_path), tmp_path))
    names = {step.run.name for step in steps if step.run}
    assert names == {*script.TEACHERS, "student"}


def test_list_steps__trains_for_fewer_epochs_when_asked(script, tmp_path):
    photos = script.Photos(tmp_path)
    own = list(script.list_steps(photos, tmp_path, compares=True))
    for step, full in zip(
        script.list_steps(photos, tmp_path, compares=True, epochs=1), own, strict=True
    ):
        shorter = ("--set", "train.epochs=1") if step.run else ()
        assert step.command == (*full.command, *shorter)


def test_steps__make_each_thing_once(steps):
    made = [step.makes for step in steps]
    assert len(set(made)) == len(made)


def test_run_step__begins_a_training_and_notes_its_end(script, steps, calls):
    steps[0].run.mkdir(parents=True)
    script.run_step(steps[0])
    script.run_step(steps[0])
    assert calls.commands == [list(steps[0].command)]


def test_run_step__goes_on_with_a_training(script, steps, calls):
    run = steps[0].run
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    script.run_step(steps[0])
    assert calls.commands == [["train", "--resume", "--out", str(run)]]


def test_run_step__does_nothing_where_the_result_is(script, steps, calls):
    step = next(step for step in steps if step.run is None)
    step.makes.mkdir(parents=True)
    script.run_step(step)
    assert not calls.commands


def test_run_step__ends_with_the_status_of_a_failure(script, steps, calls):
    calls.fails = "train"
    steps[0].run.mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
        script.run_step(steps[0])
    assert ended.value.code == 1
    assert not steps[0].makes.exists()
