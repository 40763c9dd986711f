"""Models that predict together."""

import json

import numpy as np
import pytest

from bunri.core.errors import ConfigError, InputError, ModelError, PathError
from bunri.core.settings import load_settings
from bunri.predict.ensemble import (
    Ensemble,
    EnsembleFile,
    is_ensemble_file,
    read_ensemble,
    write_ensemble,
)
from bunri.predict.settings import PredictionSettings, parse_tiles, parse_tta
from tests.predict.fakes import SMALL_TABLE, FakeMember, FixedBackend, build

IMAGE = np.zeros((30, 40, 3), np.uint8)


def member(name, *probs, num_bytes=100):
    return FakeMember(name, build(FixedBackend(*probs), table=SMALL_TABLE), num_bytes)


def test_ensemble__soft_hard_and_ties():
    members = [member("a", 0.9, 0.1, 0), member("b", 0.3, 0.5, 0.2), member("c", 0.3, 0.4, 0.3)]
    soft = Ensemble(members, [1, 1, 1])
    np.testing.assert_allclose(soft.predict_probs(IMAGE)[:, 3, 4], (0.5, 1 / 3, 1 / 6), rtol=1e-5)
    assert (soft.predict_mask(IMAGE) == 0).all()
    assert (Ensemble(members, [1, 1, 1], "hard").predict_mask(IMAGE) == 1).all()
    assert (Ensemble(members, [0, 0, 3]).predict_mask(IMAGE) == 1).all()
    tied = Ensemble(members, [2, 1, 1], "hard")
    assert (tied.predict_mask(IMAGE) == 0).all()
    jar_first = PredictionSettings(priority=("tin",))
    assert (Ensemble(members, [2, 1, 1], "hard", jar_first).predict_mask(IMAGE) == 1).all()
    # Stretched, b and c are as sure of Tin as a is of Ground.
    assert (Ensemble(members, [1, 1, 1], "minmax").predict_mask(IMAGE) == 1).all()


@pytest.mark.parametrize("combine", ["soft", "hard", "minmax"])
def test_ensemble__of_one_model_says_what_it_says(combine):
    one = member("a", 0.2, 0.5, 0.3)
    np.testing.assert_array_equal(
        Ensemble([one], [3], combine).predict_mask(IMAGE), one.load().predict_mask(IMAGE)
    )


def test_ensemble__loads_what_fits_once_and_the_rest_for_each_photo():
    members = [member("a", 1, 0, 0), member("b", 1, 0, 0), member("c", 0, 1, 0, num_bytes=300)]
    ensemble = Ensemble(members, [1, 1, 1], max_loaded_bytes=250)
    for _ in range(2):
        ensemble.predict_mask(IMAGE)
    assert [one.num_loads for one in members] == [1, 1, 2]


@pytest.mark.parametrize(
    ("weights", "message"),
    [([0, 0], "sum to 0"), ([1], "are 1, for 2"), ([2, -1], "from 0 up"), ([1, np.nan], "0 up")],
)
def test_ensemble__weights_that_do_not_fit(weights, message):
    with pytest.raises(InputError, match=message):
        Ensemble([member("a", 1, 0, 0), member("b", 1, 0, 0)], weights)


def test_ensemble__different_classes_are_refused_with_the_difference():
    other = FakeMember("b", build(FixedBackend(*[1 / 12] * 12)))
    with pytest.raises(ModelError) as caught:
        Ensemble([member("a", 1, 0, 0), other], [1, 1])
    assert caught.value.problems[0] == "class 0 is 'Ground' in a, 'Background' in b"
    assert caught.value.problems[-1] == "class 11 is absent in a, 'Clothing' in b"


def test_ensemble_file__comes_back_and_stays_below_its_folder(tmp_path):
    models = tuple(str(tmp_path / "runs" / name) for name in "ab")
    path = tmp_path / "best.json"
    wanted = EnsembleFile(
        ensemble=models,
        weights=(2.0, 1.0),
        combine="hard",
        prediction={"settings": {"flips": ["vertical"]}},
    )
    write_ensemble(path, wanted)
    assert is_ensemble_file(str(path))
    assert read_ensemble(path) == wanted
    with pytest.raises(InputError, match="below its own folder"):
        write_ensemble(tmp_path / "runs" / "a" / "best.json", wanted)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "ensemble": ["../a"]}))
    with pytest.raises(PathError, match=r"'\.\.'"):
        read_ensemble(path)


@pytest.mark.parametrize("change", [{"format": 2}, {"combine": "sum"}, {"ensemble": []},
                                    {"weights": None}, {"prediction": 3}])  # fmt: skip
def test_ensemble_file__damaged(change, tmp_path):
    path = tmp_path / "best.json"
    write_ensemble(
        path,
        EnsembleFile(
            ensemble=(str(tmp_path / "a"),), weights=(1.0,), combine="soft", prediction={}
        ),
    )
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelError, match="is incomplete or damaged"):
        read_ensemble(path)


def test_settings__all_faults_at_once():
    with pytest.raises(ConfigError) as caught:
        load_settings(
            PredictionSettings, {}, ["flip=[horizontal]", "min_region_share=2", "tta"], "options"
        )
    text = str(caught.value)
    for part in ("flip: unknown setting. Did you mean 'flips'", "min_region_share: 2", "'tta'"):
        assert part in text
    chosen = load_settings(
        PredictionSettings, {"crf": None}, ["crf.num_steps=9", "tiles={}"], "options"
    )
    assert chosen.crf is not None
    assert (chosen.crf.num_steps, chosen.tiles is None) == (9, False)


def test_read_settings__says_what_is_wrong_with_scales_once():
    for text, fault in (
        ("[9,1]", "scales.0: 9 is not allowed"),
        ("[]", "scales must name at least one"),
    ):
        with pytest.raises(ConfigError) as caught:
            load_settings(PredictionSettings, {}, [f"scales={text}"], "options")
        (problem,) = caught.value.problems
        assert fault in problem


def test_settings__unknown_class():
    with pytest.raises(InputError, match="unknown classes"):
        build(FixedBackend(1, 0, 0), table=SMALL_TABLE, priority=("Glas",))


def test_parse__words_of_the_command_line():
    assert parse_tta("hflip, 1.25,turns") == {
        "flips": ["horizontal"], "turns": True, "scales": [1.0, 1.25],
    }  # fmt: skip
    assert parse_tta("none") == {"flips": [], "turns": False, "scales": [1.0]}
    with pytest.raises(InputError, match="'flip' is no view"):
        parse_tta("flip")
    assert [parse_tiles(text) for text in ("none", "own", "2")] == [
        None, {"scale": None}, {"scale": 2.0},
    ]  # fmt: skip
    with pytest.raises(InputError, match="neither own"):
        parse_tiles("big")


def test_settings__the_former_name_of_class_thresholds_is_read():
    claims = [{"name": "tin", "probability": 0.3}]
    stored = load_settings(PredictionSettings, {"claims": claims}, [], "bundle")
    assert stored.class_thresholds[0].name == "tin"
    values = stored.model_dump(mode="json")
    assert "claims" not in values
    changed = load_settings(PredictionSettings, values, ["claims=[]"], "options")
    assert changed.class_thresholds == ()
