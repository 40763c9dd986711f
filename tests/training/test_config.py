"""Settings: every bound, every wrong form, every fault at once."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from bunri.core.errors import ConfigError
from bunri.training.config import (
    LOSS_NAMES,
    Config,
    dump_config,
    list_recipes,
    load_config,
    read_recipe,
)

RECIPES = (
    "best-cpu",
    "deeplabv3plus-mobilenetv2", "deeplabv3plus-regnety120", "deeplabv3plus-seresnext101",
    "fcn8s-baseline", "fcn8s-fixed", "fpn-lite0", "segnet-vgg16", "unet-mobilenetv2",
    "unetplusplus-inceptionv4",
)  # fmt: skip


def read_setting(config: Config, key: str):
    value = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def nest(key: str, text: str) -> str:
    """Return YAML with the value ``text`` at ``key``."""
    *sections, name = key.split(".")
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    return "\n".join([*lines, f"{'  ' * len(sections)}{name}: {text}"])


def fail_to_load(text: str, overrides=()) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(text, overrides, source="my.yaml")
    assert str(caught.value).isprintable() or "\n" in str(caught.value)
    return caught.value


CHANGES = (
    "quarter_turn", "rotate", "crop_object", "grid", "elastic", "clahe", "blur", "jpeg", "noise",
    "shadow", "cutmix", "classmix", "paste",
)  # fmt: skip
# Key, smallest and largest good values, values just outside.
BOUNDS = [
    ("seed", ["0", "4294967295"], ["-1", "4294967296"]),
    ("model.decoder_channels", ["64", "1024"], ["0", "32", "96", "1088"]),
    ("model.dropout", ["0.0", "1.0"], ["-0.001", "1.001"]),
    ("input.size_px", ["64", "100", "4096"], ["0", "32", "63", "4097", "-64"]),
    ("data.memory_mb", ["0", "1048576"], ["-1", "1048577"]),
    ("data.repeat_rare", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("data.pseudo_weight", ["1e-9", "1.0"], ["0.0", "1.1"]),
    ("augment.crop_size_px", ["64", "80", "4096", "null"], ["0", "32", "4097"]),
    ("augment.crop_area", ["[0.1, 1.0]", "[1, 1]", "[1e-9, 1]"],
     ["[0.0, 1.0]", "[-0.1, 1.0]", "[0.5, 0.4]", "[0.5, 1.1]", "[1]", "[0.1, 0.2, 0.3]", "0.5"]),
    ("augment.crop_aspect", ["[1, 1]", "[0.1, 9.0]"], ["[0.0, 1.0]", "[2.0, 1.0]"]),
    ("augment.hflip", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("augment.vflip", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("augment.brightness", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("augment.contrast", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("augment.saturation", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("augment.hue", ["0.0", "0.5"], ["-0.1", "0.51"]),
    ("augment.rotate_deg", ["1e-9", "180.0"], ["0.0", "180.1"]),
    *((f"augment.{name}", ["0.0", "1.0"], ["-0.1", "1.1"]) for name in CHANGES),
    ("augment.paste_classes", ["null", "[Battery]", "[Paper, Glass]"], ["[]", "Battery"]),
    ("loss.ce", ["0.0", "1e9"], ["-0.1"]),
    ("loss.ohem", ["0.0", "1e9"], ["-0.1"]),
    ("loss.focal", ["0.0", "1e9"], ["-0.1"]),
    ("loss.dice", ["0.0", "1e9"], ["-0.1"]),
    ("loss.jaccard", ["0.0", "1e9"], ["-0.1"]),
    ("loss.tversky", ["0.0", "1e9"], ["-0.1"]),
    ("loss.lovasz", ["0.0", "1e9"], ["-0.1"]),
    ("loss.boundary", ["0.0", "1e9"], ["-0.1"]),
    ("loss.label_smoothing", ["0.0", "0.999"], ["-0.1", "1.0"]),
    ("loss.class_weights", ["null", "[0.001, 1000]", "[1, 2, 3]"],
     ["[1.0, 0.0]", "[0.0009]", "[1000.1]", "[-1.0]", "2.0"]),
    ("loss.ohem_share", ["1e-9", "1.0"], ["0.0", "1.1"]),
    ("loss.focal_gamma", ["0.0", "10.0"], ["-0.1", "10.1"]),
    ("loss.tversky_alpha", ["1e-9", "1.0"], ["0.0", "1.1"]),
    ("loss.tversky_beta", ["1e-9", "1.0"], ["0.0", "1.1"]),
    ("optim.lr", ["1e-12", "1.0"], ["0.0", "-1e-3"]),
    ("optim.encoder_lr_scale", ["0.0", "10.0"], ["-0.1"]),
    ("optim.weight_decay", ["0.0", "1.0"], ["-1e-9"]),
    ("optim.warmup", ["0.0", "1.0"], ["-0.1", "1.1"]),
    ("optim.layer_decay", ["1e-9", "1.0"], ["0.0", "1.1"]),
    ("optim.momentum", ["0.0", "0.999"], ["-0.1", "1.0"]),
    ("optim.poly_power", ["1e-9", "10.0"], ["0.0", "-1.0"]),
    ("optim.ema_decay", ["0.0", "0.9999"], ["-0.1", "1.0"]),
    ("optim.swa_share", ["0.0"], ["-0.1", "0.5", "1.0"]),
    ("optim.clip_norm", ["0.0", "1e9"], ["-0.1"]),
    ("train.epochs", ["1", "100000"], ["0", "100001"]),
    ("train.samples_per_epoch", ["1", "null"], ["0", "-1"]),
    ("train.batch_size", ["1", "4096"], ["0", "4097"]),
    ("train.accumulate", ["1", "16"], ["0", "17", "4097"]),
    ("train.num_workers", ["0", "256"], ["-1", "257"]),
    ("train.worker_timeout_s", ["0", "86400"], ["-1", "86401"]),
    ("train.num_sample_pictures", ["0", "64"], ["-1", "65"]),
]  # fmt: skip
CHOICES = [
    (
        "model.name",
        [
            "fcn8s",
            "segnet",
            "fpn",
            "unet",
            "unetplusplus",
            "unet3plus",
            "deeplabv3plus",
            "pan",
            "upernet",
            "segformer",
            "hf_segformer",
            "hf_mask2former",
            "hf_eomt",
        ],
    ),
    ("input.normalization", ["none", "imagenet", "half"]),
    ("data.overlap_rule", ["largest-first", "highest-class", "longest-polygon-first"]),
    ("optim.name", ["adam", "adamw", "sgd"]),
    ("optim.schedule", ["constant", "cosine", "poly"]),
    ("train.precision", ["auto", "f32", "bf16", "fp16", "f64"]),
    ("train.memory_format", ["auto", "channels_last", "contiguous"]),
    ("train.tracker", ["none", "tensorboard", "mlflow", "wandb"]),
    ("train.select_by", ["global_miou", "per_image_miou", "per_batch_miou", "loss"]),
]
TEXTS = ["model.encoder", "model.weights", "model.weights_sha256"]
FLAGS = ["data.allow_leaks"]
INTS = [
    "seed", "model.decoder_channels", "input.size_px", "data.memory_mb", "augment.crop_size_px",
    "train.epochs", "train.samples_per_epoch", "train.batch_size", "train.num_workers",
    "train.num_sample_pictures", "train.accumulate", "train.worker_timeout_s",
]  # fmt: skip
FLOATS = [
    "model.dropout", "augment.hflip", "augment.vflip", "augment.brightness", "augment.contrast",
    "augment.saturation", "augment.hue", *(f"loss.{name}" for name in LOSS_NAMES),
    "loss.label_smoothing", "loss.ohem_share", "loss.focal_gamma", "loss.tversky_alpha",
    "loss.tversky_beta", "optim.lr", "optim.encoder_lr_scale", "optim.weight_decay",
    "optim.warmup", "optim.ema_decay", "data.repeat_rare", "data.pseudo_weight",
    "augment.rotate_deg", *(f"augment.{name}" for name in CHANGES), "optim.layer_decay",
    "optim.momentum", "optim.poly_power", "optim.swa_share", "optim.clip_norm",
]  # fmt: skip


def list_all_keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    keys = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += list_all_keys(kind, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


@pytest.mark.parametrize("key", FLAGS)
def test_config__flag(key):
    section, name = key.split(".")
    for text, value in (("true", True), ("false", False)):
        config = load_config("", [f"{key}={text}"])
        assert getattr(getattr(config, section), name) is value
    for text in ("1", "yes please", "null", "0.0"):
        with pytest.raises(ConfigError, match=key):
            load_config("", [f"{key}={text}"])


def test_config__every_setting_is_tested_here():
    tested = {key for key, *_ in [*BOUNDS, *CHOICES]} | {*TEXTS, *FLAGS}
    assert sorted(tested) == sorted(list_all_keys())
    tuples = [
        "augment.crop_area", "augment.crop_aspect", "augment.paste_classes", "loss.class_weights",
    ]  # fmt: skip
    assert sorted(key for key, *_ in BOUNDS) == sorted([*INTS, *FLOATS, *tuples])


@pytest.mark.parametrize(("key", "text"), [(k, t) for k, good, _ in BOUNDS for t in good])
def test_load_config__value_on_the_bound(key, text):
    value = read_setting(load_config(nest(key, text)), key)
    wanted = yaml.safe_load(text.replace("1e9", "1.0e+9").replace("e-", ".0e-"))
    assert value == (tuple(wanted) if isinstance(wanted, list) else wanted)


@pytest.mark.parametrize(("key", "text"), [(k, t) for k, _, bad in BOUNDS for t in bad])
def test_load_config__value_outside_of_the_bound(key, text):
    error = fail_to_load(nest(key, text))
    assert error.message == "1 fault in my.yaml:"
    (problem,) = error.problems
    # Where one value is good only beside another, the section is named first.
    assert problem.replace(": ", ".", 1).startswith(key) or problem.startswith(key)


@pytest.mark.parametrize(("key", "word"), [(k, w) for k, words in CHOICES for w in words])
def test_load_config__each_choice(key, word):
    assert read_setting(load_config(nest(key, word)), key) == word


@pytest.mark.parametrize(("key", "words"), CHOICES)
def test_load_config__another_choice_lists_all(key, words):
    (problem,) = fail_to_load(nest(key, words[0] + "x")).problems
    assert problem.startswith(f"{key}: '{words[0]}x' is not allowed. Did you mean '{words[0]}'")
    assert problem.endswith(f"Allowed: {', '.join(words)}.")


@pytest.mark.parametrize("key", INTS)
@pytest.mark.parametrize("text", ["'64'", "true", "64.5", ".nan", ".inf", "[64]", "{a: 1}", "x"])
def test_load_config__not_an_integer(key, text):
    (problem,) = fail_to_load(nest(key, text)).problems
    assert problem.startswith(f"{key}: ")


@pytest.mark.parametrize("key", FLOATS)
@pytest.mark.parametrize("text", ["'0.5'", "true", ".nan", ".inf", "-.inf", "1e999", "[0.5]", "~"])
def test_load_config__not_a_finite_number(key, text):
    (problem,) = fail_to_load(nest(key, text)).problems
    assert problem.startswith(f"{key}: ")


@pytest.mark.parametrize("key", ["model.encoder", "model.weights", "model.name"])
@pytest.mark.parametrize("text", ["5", "true", "null", "[a]", "1.5"])
def test_load_config__not_a_text(key, text):
    (problem,) = fail_to_load(nest(key, text)).problems
    assert problem.startswith(f"{key}: ")


def test_load_config__an_integer_is_a_good_float():
    lr = load_config("optim: {lr: 1}").optim.lr
    assert lr == 1.0
    assert isinstance(lr, float)


@pytest.mark.parametrize("text", ["a" * 63, "a" * 65, "A" * 64, "g" * 64, "''"])
def test_load_config__weights_sha256_must_be_64_small_hex_digits(text):
    good = "0123456789abcdef" * 4
    accepted = load_config(f"model: {{weights: a.pth, weights_sha256: '{good}'}}")
    assert accepted.model.weights_sha256 == good
    (problem,) = fail_to_load(f"model: {{weights: a.pth, weights_sha256: {text}}}").problems
    assert problem.startswith("model.weights_sha256: ")


def test_load_config__all_losses_at_zero():
    (problem,) = fail_to_load("loss: {ce: 0, dice: 0, focal_gamma: 1}").problems
    assert problem == (
        "loss: all loss weights are 0; give one of ce, ohem, focal, dice, jaccard, tversky, "
        "lovasz, boundary a positive weight"
    )


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_load_config__any_one_loss_is_enough(name):
    config = load_config("loss: {ce: 0, dice: 0}", [f"loss.{name}=0.5"])
    assert {n: getattr(config.loss, n) for n in LOSS_NAMES if getattr(config.loss, n)} == {
        name: 0.5
    }


def test_load_config__crop_range_names_the_key_and_both_values():
    (problem,) = fail_to_load("augment: {crop_area: [0.5, 0.4]}").problems
    assert problem == "augment: crop_area: the first value 0.5 is above the second 0.4"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim: {learning_rate: 1}", "optim.learning_rate: unknown setting. Allowed: name, lr, "),
        ("optim: {nam: adam}", "optim.nam: unknown setting. Did you mean 'name'?"),
        ("loss: {lovas: 1}", "loss.lovas: unknown setting. Did you mean 'lovasz'?"),
        ("loss: {focal_gama: 1}", "loss.focal_gama: unknown setting. Did you mean 'focal_gamma'"),
        ("optm: {}", "optm: unknown setting. Did you mean 'optim'?"),
        ("train: {batchsize: 4}", "train.batchsize: unknown setting. Did you mean 'batch_size'?"),
        ("train: {Epochs: 4}", "train.Epochs: unknown setting. Did you mean 'epochs'"),
        ("seed: {x: 1}", "seed: "),
    ],
)
def test_load_config__unknown_key_with_the_nearest(text, expected):
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


@pytest.mark.parametrize("text", ["", "   \n", "# nothing\n", "---\n", "null", "~", "{}"])
def test_load_config__empty_is_all_defaults(text):
    assert load_config(text) == Config()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("- a\n- b", "list"), ("5", "int"), ("text", "str"), ("false", "bool"), ("0", "int"),
     ("[]", "list"), ("2021-05-01", "date")],
)  # fmt: skip
def test_load_config__not_a_mapping(text, kind):
    error = fail_to_load(text)
    assert error.message.startswith(f"my.yaml must be a mapping of sections, not {kind} ")


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "a: b: c",
        "\tseed: 1",
        "seed: 1\n---\nseed: 2",
        "seed: \x00",
        "seed: !!python/object/apply:os.system ['true']",
        "seed: !unknown 5",
        "a: *nowhere",
        "[" * 20_000,
        "{a: " * 20_000,
        "seed: 2021-13-45",
        "seed: !!int abc",
        "seed: !!float abc",
        "seed: !!bool abc",
        "seed: !!timestamp abc",
        "seed: !!binary 가",
        "seed: " + "9" * 5000,
        "? [a, b]\n: 1",
        "? {a: 1}\n: 1",
        "a: &a\n  b: *a",
        "&a [*a]",
        "model: &a\n  encoder: *a",
    ],
)
def test_load_config__not_yaml_that_can_be_used(text):
    assert fail_to_load(text).message.startswith("my.yaml ")


@pytest.mark.parametrize(
    "text", ["1: 2", "true: 2", "null: 2", "1.5: 2", "2021-05-01: 2", "optim: {2021-05-01: 2}"]
)
def test_load_config__key_that_is_no_text(text):
    (problem,) = fail_to_load(text).problems
    assert "unknown setting" in problem


def test_load_config__aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 4)]
    assert "alias" in fail_to_load("\n".join(lines)).message


@pytest.mark.parametrize(
    "text", ["seed: 1\nseed: 2", "train: {epochs: 1, epochs: 1}", "seed: 1\n'seed': 2"]
)
def test_load_config__key_given_twice(text):
    error = fail_to_load(text)
    assert "is given twice" in error.message
    assert "line " in error.message


def test_load_config__same_key_in_two_sections_is_fine():
    config = load_config("model: {name: fcn8s}\noptim: {name: sgd}")
    assert (config.model.name, config.optim.name) == ("fcn8s", "sgd")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E-4", 1e-4), ("1.e-4", 1e-4), (".5e-3", 5e-4), ("3.0e-4", 3e-4),
     ("+1e+0", 1.0), ("2e0", 2.0), ("0.001", 1e-3)],
)  # fmt: skip
def test_load_config__floats_without_a_dot_are_numbers(text, value):
    assert load_config(f"optim: {{lr: {text}}}").optim.lr == value
    assert load_config("", [f"optim.lr={text}"]).optim.lr == value


@pytest.mark.parametrize("text", ["1e", "e-4", "1e-4x", "x1e-4", "1e-4.5"])
def test_load_config__almost_floats_stay_text(text):
    assert load_config(f"model: {{encoder: {text}}}").model.encoder == text


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=5", "seed", 5),
        ("optim.lr=3e-4", "optim.lr", 3e-4),
        (" optim.lr =0.5", "optim.lr", 0.5),
        ("augment.crop_size_px=null", "augment.crop_size_px", None),
        ("augment.crop_area=[0.2, 0.9]", "augment.crop_area", (0.2, 0.9)),
        ("model.weights=C:/a=b.pt", "model.weights", "C:/a=b.pt"),
        ("model.weights=가중치/모델.pt", "model.weights", "가중치/모델.pt"),
        ("model.weights='5'", "model.weights", "5"),
        ("model.weights=", "model.weights", ""),
        ("model={name: fcn8s}", "model.name", "fcn8s"),
    ],
)
def test_load_config__override(override, key, value):
    assert read_setting(load_config("", [override]), key) == value


def test_load_config__override_wins_and_the_last_override_wins():
    config = load_config("seed: 1\ntrain: {epochs: 3}", ["seed=2", "seed=3"])
    assert config.seed == 3
    assert config.train.epochs == 3


@pytest.mark.parametrize("override", ["", "=", "seed", "=5", ".=5", "optim.=5", ".lr=5", "a..b=5"])
def test_load_config__override_of_another_form(override):
    (problem,) = fail_to_load("", [override]).problems
    assert problem.startswith(f"--set {override!r}: must look like key.path=value")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optim.rl=1", "optim.rl: unknown setting."),
        ("a.b.c=1", "a: unknown setting."),
        ("optim.lr.x=1", "optim.lr"),
        ("optim.lr='1'", "optim.lr: '1' is not allowed"),
        ("optim.lr=", "optim.lr: '' is not allowed"),
        ("train.epochs=true", "train.epochs: True is not allowed"),
        ("train.epochs=[1", "--set train.epochs=[1 is not valid YAML"),
        ("train.epochs=5: 6", "train.epochs: "),
    ],
)
def test_load_config__override_with_a_wrong_value(override, expected):
    (problem,) = fail_to_load("", [override]).problems
    assert problem.startswith(expected)


def test_load_config__override_below_a_single_value():
    (problem,) = fail_to_load("seed: 5", ["seed.x=1"]).problems
    assert problem == "--set 'seed.x=1': 'seed' is a single value, not a section"


@given(st.text(max_size=60))
def test_load_config__any_text_loads_or_is_refused(text):
    try:
        config = load_config(text)
    except ConfigError as error:
        assert str(error)  # noqa: PT017 (either outcome is right)
    else:
        assert isinstance(config, Config)


YAML_BITS = st.sampled_from(
    ["seed", "model", "optim", "lr", ": ", ":", "\n", "\n  ", "- ", "[", "]", "{", "}", ", ", "&a ",
     "*a", "!!int ", "!!float ", "!!set ", "!!omap ", "!!pairs ", "!!str ", "!!timestamp ",
     "!!null ", "!!binary ", "? ", "<<", "=", "1", "1e3", "0x", "0b2", "1:99", "1_0", ".", "nan",
     "2021-02-30", "|", ">", "'", '"', "#", "%", "---", "...", "~", "true"]
)  # fmt: skip


@given(st.lists(YAML_BITS, max_size=14).map("".join))
def test_load_config__any_pieces_of_yaml_load_or_are_refused(text):
    for overrides in ([], [f"seed={text}"]):
        try:
            load_config(text if not overrides else "", overrides)
        except ConfigError as error:
            assert str(error)  # noqa: PT017 (either outcome is right)


def test_dump_config__round_trip_of_the_defaults():
    assert load_config(dump_config(Config())) == Config()


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(0, 1e3, exclude_min=True),
    dropout=st.floats(0, 1),
    crop=st.none() | st.integers(2, 128).map(lambda n: 32 * n),
    area=st.floats(0, 1, exclude_min=True),
    # PyYAML itself does not read back the line ends of Unicode that it wrote.
    weights=st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=20),
)
def test_dump_config__round_trip(seed, lr, dropout, crop, area, weights):
    values = {
        "seed": seed,
        "optim": {"lr": lr},
        "model": {"dropout": dropout, "weights": weights},
        "augment": {"crop_size_px": crop, "crop_area": (area, 1.0)},
    }
    config = Config.model_validate(values)
    assert load_config(dump_config(config)) == config


@pytest.mark.parametrize("weights", ["0E0", "1e5", "-2e-3", ".5e1", "1e-4", "12", "null", "true"])
def test_dump_config__text_that_looks_like_something_else(weights):
    config = load_config("", [f"model.weights='{weights}'"])
    assert config.model.weights == weights
    assert load_config(dump_config(config)) == config


def test_dump_config__korean_stays_readable():
    config = load_config("model: {weights: 가중치.pt}")
    assert "weights: 가중치.pt" in dump_config(config)


def test_config__is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Config().seed = 5  # type: ignore[misc]


def test_list_recipes__all_sorted():
    assert list_recipes() == list(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_read_recipe__each_names_every_setting_once(name):
    assert sorted(list_leaves(yaml.safe_load(read_recipe(name)))) == sorted(list_all_keys())


def list_leaves(values: dict[str, object], prefix: str = "") -> list[str]:
    leaves = []
    for key, value in values.items():
        if isinstance(value, dict):
            leaves += list_leaves(value, f"{prefix}{key}.")
        else:
            leaves.append(prefix + key)
    return leaves


@pytest.mark.parametrize("name", RECIPES)
def test_read_recipe__each_says_in_its_first_line_what_it_is(name):
    assert re.match(r"# [A-Z].{30,}\n# ", read_recipe(name))


def test_read_recipe__the_default_explains_its_choices():
    lines = [line for line in read_recipe("fpn-lite0").splitlines() if re.match(r" *\w+: \S", line)]
    explained = [line for line in lines if "  # " in line]
    assert len(explained) >= 0.75 * len(lines)


def test_read_recipe__each_change_of_the_fixed_baseline_says_so():
    baseline = load_config(read_recipe("fcn8s-baseline"))
    fixed = load_config(read_recipe("fcn8s-fixed"))
    keys = list_all_keys()
    changed = {k for k in keys if read_setting(baseline, k) != read_setting(fixed, k)}
    assert changed == {
        "input.normalization", "data.overlap_rule", "augment.hflip", "train.select_by",
        "train.precision",
    }  # fmt: skip


def test_read_recipe__fpn_lite0_is_the_defaults():
    assert load_config(read_recipe("fpn-lite0")) == Config()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 21),
        ("model.name", "fcn8s"),
        ("model.encoder", "vgg16"),
        ("model.weights", "imagenet"),
        ("input.size_px", 512),
        ("input.normalization", "none"),
        ("data.overlap_rule", "highest-class"),
        ("data.repeat_rare", 0.0),
        ("augment.crop_size_px", None),
        ("augment.hflip", 0.0),
        ("augment.vflip", 0.0),
        ("augment.brightness", 0.0),
        ("augment.contrast", 0.0),
        ("augment.saturation", 0.0),
        ("augment.hue", 0.0),
        ("loss.ce", 1.0),
        ("loss.ohem", 0.0),
        ("loss.focal", 0.0),
        ("loss.dice", 0.0),
        ("loss.jaccard", 0.0),
        ("loss.tversky", 0.0),
        ("loss.lovasz", 0.0),
        ("loss.boundary", 0.0),
        ("loss.label_smoothing", 0.0),
        ("loss.class_weights", None),
        ("optim.name", "adam"),
        ("optim.lr", 1e-4),
        ("optim.encoder_lr_scale", 1.0),
        ("optim.weight_decay", 1e-6),
        ("optim.schedule", "constant"),
        ("optim.warmup", 0.0),
        ("optim.ema_decay", 0.0),
        ("train.epochs", 20),
        ("train.samples_per_epoch", None),
        ("train.batch_size", 16),
        ("train.select_by", "loss"),
    ],
)
def test_read_recipe__fcn8s_baseline_is_the_notebooks(key, value):
    found = read_setting(load_config(read_recipe("fcn8s-baseline")), key)
    assert found == value
    assert type(found) is type(value)


def test_read_recipe__a_file_by_its_path(tmp_path):
    path = tmp_path / "내 설정.yaml"
    path.write_text("seed: 5  # 다섯", "utf-8")
    assert load_config(read_recipe(str(path))).seed == 5


def test_read_recipe__byte_order_mark(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 5", "utf-8-sig")
    assert load_config(read_recipe(str(path))).seed == 5


def test_read_recipe__unknown_name_lists_the_nearest():
    with pytest.raises(ConfigError) as caught:
        read_recipe("fpn-lite")
    assert str(caught.value) == (
        "'fpn-lite' is neither a recipe nor a file. Did you mean 'fpn-lite0'? "
        f"Allowed: {', '.join(RECIPES)}."
    )


@pytest.mark.parametrize("name", ["", ".", "..", "a\0b", "x" * 5000, "a/" * 3000 + "b", "\ud800"])
def test_read_recipe__what_can_be_no_file(name):
    with pytest.raises(ConfigError, match="neither a recipe nor a file"):
        read_recipe(name)


def test_read_recipe__folder(tmp_path):
    with pytest.raises(ConfigError, match="neither a recipe nor a file"):
        read_recipe(str(tmp_path))


def test_read_recipe__not_text(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ConfigError, match="cannot be read as UTF-8"):
        read_recipe(str(path))


def test_read_recipe__too_large(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1000000 bytes"):
        read_recipe(str(path))
    path.write_bytes(b"#" * 1_000_000)
    assert load_config(read_recipe(str(path))) == Config()


def test_section__defaults_are_within_their_own_bounds():
    assert Config.model_validate(Config().model_dump()) == Config()


@pytest.mark.parametrize("weights", ["imagenet", "none"])
def test_load_config__hash_of_weights_that_are_no_file(weights):
    text = f"model: {{weights: {weights}, weights_sha256: {'a' * 64}}}"
    (problem,) = fail_to_load(text).problems
    assert f"weights_sha256 is of a local file, but weights is {weights!r}" in problem
