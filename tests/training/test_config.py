"""Settings: the limits that are ours, YAML and overrides, every fault at once, and the recipes."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from bunri.core.errors import ConfigError
from bunri.training.config import (
    DEFAULT_RECIPE,
    Config,
    LossConfig,
    dump_config,
    list_recipes,
    load_config,
    read_recipe,
)


def read_setting(config: Config, key: str):
    value = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def fail_to_load(text: str, overrides=()) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(text, overrides, source="my.yaml")
    return caught.value


def list_all_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += list_all_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def list_leaves(values: dict[str, object], prefix: str = "") -> list[str]:
    leaves = []
    for key, value in values.items():
        leaves += (
            list_leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        )
    return leaves


# -- limits --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("model.decoder_channels=96", "model.decoder_channels: 96 is not allowed: "),
        ("input.size_px=63", "input.size_px: 63 is not allowed: "),
        ("optim.lr=0.0", "optim.lr: 0.0 is not allowed: "),
        ("optim.ema_decay=1.0", "optim.ema_decay: 1.0 is not allowed: "),
        ("loss.class_weights=[1.0, 0.0]", "loss.class_weights.1: 0.0 is not allowed: "),
        ("augment.paste_classes=[]", "augment.paste_classes: [] is not allowed: "),
        ("train.epochs=true", "train.epochs: True is not allowed: "),
        ("train.epochs='5'", "train.epochs: '5' is not allowed: "),
        ("model.dropout=.nan", "model.dropout: "),
        ("data.allow_leaks=1", "data.allow_leaks: 1 is not allowed: "),
        ("model.weights_sha256=abc", "model.weights_sha256: 'abc' is not allowed: "),
        # Rules between settings.
        ("augment.crop_area=[0.5, 0.4]", "augment: crop_area: the first value 0.5 is above the"),
        ("augment.crop_area=[0.5, 1.1]", "augment: crop_area: the second value 1.1 is above 1"),
        ("augment.crop_aspect=[2.0, 1.0]", "augment: crop_aspect: the first value 2.0 is above"),
        ("optim.swa_share=0.5", "optim: swa_share: 0.5 and ema_decay 0.99 both average"),
        ("train.accumulate=17", "train: accumulate: a batch of 16 cannot be split into 17 parts"),
        (f"model.weights_sha256={'a' * 64}", "model: weights_sha256 needs a local file, but"),
    ],
)
def test_load_config__value_that_is_refused(override, problem):
    (found,) = fail_to_load("", [override]).problems
    assert found.startswith(problem)


def test_load_config__all_losses_at_zero():
    (problem,) = fail_to_load("loss: {ce: 0, dice: 0, focal_gamma: 1}").problems
    assert problem == (
        "loss: all loss weights are 0; give one of ce, ohem, focal, dice, jaccard, tversky, "
        "lovasz, boundary a positive weight"
    )


@pytest.mark.parametrize("name", LossConfig.list_losses())
def test_load_config__any_one_loss_is_enough(name):
    config = load_config("loss: {ce: 0, dice: 0}", [f"loss.{name}=0.5"])
    assert [n for n in LossConfig.list_losses() if getattr(config.loss, n)] == [name]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim: {learning_rate: 1}", "optim.learning_rate: unknown setting. Allowed: name, lr, "),
        ("loss: {focal_gama: 1}", "loss.focal_gama: unknown setting. Did you mean 'focal_gamma'"),
        ("optm: {}", "optm: unknown setting. Did you mean 'optim'?"),
        ("train: {Epochs: 4}", "train.Epochs: unknown setting. Did you mean 'epochs'"),
        ("model: {name: fnp}", "model.name: 'fnp' is not allowed. Did you mean 'fpn'"),
        ("seed: {x: 1}", "seed: "),
    ],
)
def test_load_config__unknown_word_with_the_nearest(text, expected):
    (problem,) = fail_to_load(text).problems
    assert problem.startswith(expected)


def test_load_config__all_faults_at_once():
    error = fail_to_load(
        """
        seed: -1
        sed: 4
        model: {dropout: 2, name: fnp}
        train: {epochs: 0, epoch: 1}
        augment: {crop_area: [1.0, 0.5]}
        loss: {ce: 0, dice: 0}
        """,
        ["optim.lr=x", "input.size=5", "nonsense"],
    )
    assert error.message == "11 faults in my.yaml:"
    starts = [problem.partition(" ")[0] for problem in error.problems]
    assert sorted(starts) == sorted(
        [
            "--set", "seed:", "sed:", "model.dropout:", "model.name:", "train.epochs:",
            "train.epoch:", "augment:", "loss:", "optim.lr:", "input.size:",
        ]
    )  # fmt: skip


# -- YAML ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "{}"])
def test_load_config__empty_is_all_defaults(text):
    assert load_config(text) == Config()


@pytest.mark.parametrize(("text", "kind"), [("- a", "list"), ("5", "int"), ("false", "bool")])
def test_load_config__not_a_mapping(text, kind):
    error = fail_to_load(text)
    assert error.message.startswith(f"my.yaml must be a mapping of sections, not {kind} ")


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "seed: 1\n---\nseed: 2",
        "seed: !!python/object/apply:os.system ['true']",
        "a: *nowhere",
        "model: &a\n  encoder: *a",  # an alias within itself
        "[" * 20_000,
        "seed: 2021-13-45",
        "seed: !!int abc",
        "seed: " + "9" * 5000,
        "? [a, b]\n: 1",
    ],
)
def test_load_config__not_yaml_that_can_be_used(text):
    assert fail_to_load(text).message.startswith("my.yaml ")


def test_load_config__keys_are_words():
    (problem,) = fail_to_load("2021-05-01: 2").problems
    assert problem.startswith("2021-05-01: unknown setting")


@pytest.mark.parametrize("text", ["seed: 1\nseed: 2", "train: {epochs: 1, 'epochs': 1}"])
def test_load_config__key_given_twice(text):
    error = fail_to_load(text)
    assert "is given twice" in error.message
    assert "line " in error.message


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("1.E-4", 1e-4), (".5e-3", 5e-4), ("+1e+0", 1.0), ("1", 1)]
)
def test_load_config__floats_without_a_dot_are_numbers(text, value):
    assert load_config(f"optim: {{lr: {text}}}").optim.lr == value
    assert load_config("", [f"optim.lr={text}"]).optim.lr == value


@pytest.mark.parametrize("text", ["1e", "e-4", "1e-4x", "1e-4.5"])
def test_load_config__almost_floats_stay_text(text):
    assert load_config(f"model: {{encoder: {text}}}").model.encoder == text


YAML_BITS = st.sampled_from(
    ["seed", "model", "optim", "lr", ": ", ":", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "&a ",
     "*a", "!!int ", "!!float ", "!!set ", "!!omap ", "!!pairs ", "!!str ", "!!timestamp ",
     "!!null ", "!!binary ", "? ", "<<", "=", "1", "1e3", "0x", "0b2", "1:99", "1_0", ".", "nan",
     "2021-02-30", "|", ">", "'", '"', "#", "%", "---", "...", "~", "true"]
)  # fmt: skip


@given(st.lists(YAML_BITS, max_size=14).map("".join) | st.text(max_size=60))
def test_load_config__any_text_loads_or_is_refused(text):
    for overrides in ([], [f"seed={text}"]):
        try:
            config = load_config("" if overrides else text, overrides)
        except ConfigError as error:
            assert str(error)  # noqa: PT017 (either outcome is right)
        else:
            assert isinstance(config, Config)


# -- overrides -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        (" optim.lr =0.5", "optim.lr", 0.5),
        ("augment.crop_size_px=null", "augment.crop_size_px", None),
        ("augment.crop_area=[0.2, 0.9]", "augment.crop_area", (0.2, 0.9)),
        ("model.weights=가중치/a=b.pt", "model.weights", "가중치/a=b.pt"),
        ("model.weights='5'", "model.weights", "5"),
        ("model.weights=", "model.weights", ""),
        ("model={name: fcn8s}", "model.name", "fcn8s"),
    ],
)
def test_load_config__override(override, key, value):
    assert read_setting(load_config("", [override]), key) == value


def test_load_config__override_wins_and_the_last_override_wins():
    config = load_config("seed: 1\ntrain: {epochs: 3}", ["seed=2", "seed=3"])
    assert (config.seed, config.train.epochs) == (3, 3)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        *(
            (o, "must look like key.path=value")
            for o in ("", "=", "seed", "=5", "optim.=5", "a..b=5")
        ),
        ("seed.x=1", "--set 'seed.x=1': 'seed' is a single value, not a section"),
        ("optim.rl=1", "optim.rl: unknown setting."),
        ("optim.lr=", "optim.lr: '' is not allowed"),
        ("train.epochs=[1", "--set train.epochs=[1 is not valid YAML"),
    ],
)
def test_load_config__override_that_is_refused(override, expected):
    (problem,) = fail_to_load("seed: 5", [override]).problems
    assert expected in problem


# -- written and read back -----------------------------------------------------------------


@given(
    lr=st.floats(0, 1e3, exclude_min=True),
    crop=st.none() | st.integers(2, 128).map(lambda n: 32 * n),
    # PyYAML itself does not read back the line ends of Unicode that it wrote.
    weights=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20)
    | st.sampled_from(["0E0", "1e5", "-2e-3", ".5e1", "12", "null", "true"]),
)
def test_dump_config__round_trip(lr, crop, weights):
    values = {"optim": {"lr": lr}, "model": {"weights": weights}, "augment": {"crop_size_px": crop}}
    config = Config.model_validate(values)
    assert load_config(dump_config(config)) == config


def test_dump_config__korean_stays_readable():
    config = load_config("model: {weights: 가중치.pt}")
    assert "weights: 가중치.pt" in dump_config(config)


# -- recipes -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_recipes())
def test_recipe__says_at_its_top_what_it_is(name):
    text = read_recipe(name)
    assert re.match(r"# [A-Z].{30,}\n# ", text)
    load_config(text)


def test_recipe__the_default_names_and_explains_every_setting():
    text = read_recipe(DEFAULT_RECIPE)
    assert sorted(list_leaves(yaml.safe_load(text))) == sorted(list_all_keys())
    lines = [line for line in text.splitlines() if re.match(r" *\w+: \S", line)]
    assert sum("  # " in line for line in lines) >= 0.75 * len(lines)
    assert load_config(text) == Config()


def test_recipe__fcn8s_baseline_is_the_notebooks():
    config = load_config(read_recipe("fcn8s-baseline"))
    assert (config.model.name, config.model.encoder) == ("fcn8s", "vgg16")
    assert (config.input.size_px, config.input.normalization) == (512, "none")
    assert config.data.overlap_rule == "highest-class"
    augment = config.augment.model_dump(exclude={"crop_area", "crop_aspect", "rotate_deg"})
    assert not any(augment.values())
    assert {n for n in LossConfig.list_losses() if getattr(config.loss, n)} == {"ce"}
    assert (config.optim.name, config.optim.lr, config.optim.weight_decay) == ("adam", 1e-4, 1e-6)
    assert (config.optim.schedule, config.optim.ema_decay) == ("constant", 0.0)
    assert (config.train.epochs, config.train.samples_per_epoch) == (20, None)
    assert (config.train.batch_size, config.train.select_by) == (16, "loss")


def test_recipe__fcn8s_fixed_changes_what_it_says():
    baseline, fixed = (load_config(read_recipe(f"fcn8s-{n}")) for n in ("baseline", "fixed"))
    keys = list_all_keys()
    changed = {k for k in keys if read_setting(baseline, k) != read_setting(fixed, k)}
    assert changed == {
        "input.normalization", "data.overlap_rule", "augment.hflip", "train.select_by",
        "train.precision",
    }  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_read_recipe__a_file_by_its_path(tmp_path, encoding):
    path = tmp_path / "내 설정.yaml"
    path.write_text("seed: 5  # 다섯", encoding)
    assert load_config(read_recipe(str(path))).seed == 5


def test_read_recipe__unknown_name_lists_the_nearest():
    with pytest.raises(ConfigError) as caught:
        read_recipe("fpn-lite")
    assert str(caught.value) == (
        "'fpn-lite' is neither a recipe nor a file. Did you mean 'fpn-lite0'? "
        f"Allowed: {', '.join(list_recipes())}."
    )


@pytest.mark.parametrize("name", ["", ".", "a\0b", "x" * 5000, "\ud800"])
def test_read_recipe__no_file_can_have_this_name(name):
    with pytest.raises(ConfigError, match="neither a recipe nor a file"):
        read_recipe(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\xff\xd8\xff", "cannot be read as UTF-8"), (b"#" * 1_000_001, "larger than 1000000 bytes")],
)
def test_read_recipe__file_that_is_no_recipe(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_recipe(str(path))
