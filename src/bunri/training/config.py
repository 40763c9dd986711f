"""Settings of a training run, their defaults and limits, and the recipes inside the package.

The recipe ``fpn-lite0`` holds the defaults and explains every setting.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bunri.core.errors import ConfigError, suggest
from bunri.core.fields import Fraction, NonNegative, Positive, PositiveFraction
from bunri.core.files import is_file
from bunri.core.settings import Section, dump_yaml, load_settings, parse_yaml
from bunri.images.frames import FrameSize, Normalization
from bunri.labels.rules import OverlapRule

MAX_CONFIG_BYTES = 1_000_000
DEFAULT_RECIPE = "fpn-lite0"
_RECIPES = Path(__file__).with_name("recipes")

ModelName = Literal[
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
]
Precision = Literal["auto", "f32", "bf16", "fp16", "f64"]
MemoryFormat = Literal["auto", "channels_last", "contiguous"]
TrackerName = Literal["none", "tensorboard", "mlflow", "wandb"]
SelectBy = Literal["global_miou", "per_image_miou", "per_batch_miou", "loss"]
LossWeight = Annotated[NonNegative, "weight of a loss"]
"""Marks the fields of :class:`LossConfig` that are weights; 0 turns the loss off."""


class ModelConfig(Section):
    """Network and initial weights."""

    name: ModelName = "fpn"
    encoder: str = "tf_efficientnet_lite0"
    """Name of an encoder of timm, or of segmentation_models.pytorch where timm has none.

    ``fcn8s`` is defined on ``vgg16`` only, ``segnet`` on ``vgg16_bn`` only.
    """
    weights: str = "imagenet"
    """``imagenet``, ``none``, a file of encoder weights, or a trained model to continue from."""
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 that a local weights file must have; null skips the check."""
    # A multiple of 64, because half of the FPN pyramid is normalised in 32 groups.
    decoder_channels: int = Field(default=128, ge=64, le=1024, multiple_of=64)
    """Width of the decoder; docs/models.md says which layers it sets in each network."""
    dropout: Fraction = 0.2

    @model_validator(mode="after")
    def _check_sha256(self) -> Self:
        if self.weights_sha256 is not None and self.weights in ("imagenet", "none"):
            raise ValueError(
                f"weights_sha256 needs a local file, but weights is {self.weights!r}; "
                "set weights to the file's path"
            )
        return self


class InputConfig(Section):
    """Preprocessing of a photo for the network, at validation and prediction."""

    size_px: FrameSize = 384
    normalization: Normalization = "half"
    """``none``: 0..1; ``imagenet``: ImageNet's mean and deviation; ``half``: -1..1."""


class DataConfig(Section):
    """Masks, memory and sampling of the training photos."""

    overlap_rule: OverlapRule = "largest-first"
    """Rule that decides which object owns a pixel covered by several."""
    memory_mb: int = Field(default=4096, ge=0, le=2**20)
    allow_leaks: bool = False
    pseudo_weight: PositiveFraction = 1.0
    repeat_rare: Fraction = 0.5


class AugmentConfig(Section):
    """Random changes of training photos: a probability per change, 0 (or null) to turn it off."""

    crop_size_px: FrameSize | None = 256
    """Side of the random resized crop; null trains on whole frames of ``input.size_px``."""
    crop_area: tuple[Positive, Positive] = (0.1, 1.0)
    """Smallest and largest share of the photo's area covered by a crop."""
    crop_aspect: tuple[Positive, Positive] = (0.75, 1.3333)
    """Smallest and largest width / height of a crop before it is resized to a square."""
    hflip: Fraction = 0.5
    vflip: Fraction = 0.5
    quarter_turn: Fraction = 0.0
    rotate: Fraction = 0.0
    rotate_deg: Annotated[float, Field(gt=0.0, le=180.0)] = 30.0
    crop_object: Fraction = 0.0
    grid: Fraction = 0.0
    elastic: Fraction = 0.0
    brightness: Fraction = 0.4
    """Largest relative change of the brightness; likewise for contrast, saturation and hue."""
    contrast: Fraction = 0.4
    saturation: Fraction = 0.4
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.03
    clahe: Fraction = 0.0
    blur: Fraction = 0.0
    jpeg: Fraction = 0.0
    noise: Fraction = 0.0
    shadow: Fraction = 0.0
    cutmix: Fraction = 0.0
    classmix: Fraction = 0.0
    paste: Fraction = 0.0
    paste_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the classes to paste; null: those that ``data.repeat_rare`` calls rare."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, (low, high) in (("crop_area", self.crop_area), ("crop_aspect", self.crop_aspect)):
            if low > high:
                raise ValueError(f"{name}: the first value {low} is above the second {high}")
        if self.crop_area[1] > 1.0:
            raise ValueError(f"crop_area: the second value {self.crop_area[1]} is above 1")
        return self


class LossConfig(Section):
    """The loss to minimise, a weighted sum: one weight per loss, then the losses' own settings."""

    ce: LossWeight = 1.0
    ohem: LossWeight = 0.0
    focal: LossWeight = 0.0
    dice: LossWeight = 1.0
    jaccard: LossWeight = 0.0
    tversky: LossWeight = 0.0
    lovasz: LossWeight = 0.0
    boundary: LossWeight = 0.0
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the target that ``ce`` spreads over all classes."""
    class_weights: tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...] | None = None
    """Weight of each class in ``ce``, in the order of the class table; null: all equal."""
    ohem_share: PositiveFraction = 0.25
    """Share of a batch's valid pixels kept by ``ohem``."""
    focal_gamma: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0
    """Strength of the discount of easy pixels in ``focal``; 0 is the cross-entropy."""
    tversky_alpha: PositiveFraction = 0.3
    """Cost of false positives; with both costs 0.5 the loss is Dice, with both 1 Jaccard."""
    tversky_beta: PositiveFraction = 0.7
    """Cost of false negatives."""

    @classmethod
    def list_losses(cls) -> list[str]:
        """Return the names of the fields that are weights of losses."""
        return [n for n, f in cls.model_fields.items() if "weight of a loss" in f.metadata]

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        names = self.list_losses()
        if not any(getattr(self, name) for name in names):
            raise ValueError(
                f"all loss weights are 0; give one of {', '.join(names)} a positive weight"
            )
        return self


class OptimConfig(Section):
    """Optimiser, learning rates and averages of the weights."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: Positive = 7e-4
    encoder_lr_scale: NonNegative = 0.3
    layer_decay: PositiveFraction = 1.0
    weight_decay: NonNegative = 1e-2
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    schedule: Literal["constant", "cosine", "poly"] = "cosine"
    poly_power: Positive = 0.9
    """Exponent of ``poly``: the rate is (1 - share of steps done) to this power."""
    warmup: Fraction = 0.05
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    swa_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    clip_norm: NonNegative = 0.0

    @model_validator(mode="after")
    def _check_averages(self) -> Self:
        if self.ema_decay and self.swa_share:
            raise ValueError(
                f"swa_share: {self.swa_share} and ema_decay {self.ema_decay} both average the "
                "weights; set one of them to 0"
            )
        return self


class TrainConfig(Section):
    """Length, batches, number format, loading and selection of the best epoch."""

    epochs: int = Field(default=16, ge=1, le=100_000)
    samples_per_epoch: int | None = Field(default=600, ge=1)
    batch_size: int = Field(default=16, ge=1, le=4096)
    accumulate: int = Field(default=1, ge=1, le=4096)
    """Number of parts in which a batch is processed, to save memory."""
    precision: Precision = "auto"
    memory_format: MemoryFormat = "auto"
    num_workers: int = Field(default=1, ge=0, le=256)
    """Processes that load and augment; 0 loads in the training process."""
    worker_timeout_s: int = Field(default=300, ge=0, le=86_400)
    select_by: SelectBy = "global_miou"
    num_sample_pictures: int = Field(default=4, ge=0, le=64)
    tracker: TrackerName = "none"

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate: a batch of {self.batch_size} cannot be split into "
                f"{self.accumulate} parts"
            )
        return self


class Config(Section):
    """All settings of one run."""

    seed: int = Field(default=21, ge=0, lt=2**32)
    model: ModelConfig = ModelConfig()
    input: InputConfig = InputConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig()


def list_recipes() -> list[str]:
    """Return the names of the recipes inside the package, sorted."""
    return sorted(path.stem for path in _RECIPES.glob("*.yaml"))


def read_recipe(name_or_file: str) -> str:
    """Return the YAML text of a recipe inside the package, or of a file.

    Raises:
        ConfigError: No such recipe (the nearest names are listed), or the file cannot be read.
    """
    recipes = list_recipes()
    path = _RECIPES / f"{name_or_file}.yaml" if name_or_file in recipes else Path(name_or_file)
    if not is_file(path):
        raise ConfigError(
            f"{name_or_file!r} is neither a recipe nor a file.{suggest(name_or_file, recipes)}"
        )
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes; is it a recipe?")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as UTF-8 text: {error}.") from error


def load_config(yaml_text: str, overrides: Sequence[str] = (), *, source: str = "config") -> Config:
    """Return the settings of a YAML text with ``key.path=value`` overrides on top.

    Args:
        yaml_text: Mapping of sections; settings that are left out keep their default.
        overrides: Values of ``--set``, for example ``optim.lr=3e-4``.
        source: Name of the text in error messages.

    Raises:
        ConfigError: Unknown keys, wrong types or values out of range; all faults at once.
    """
    values = parse_yaml(yaml_text, source)
    values = {} if values is None else values
    if not isinstance(values, dict):
        found = f"{type(values).__name__} {str(values)[:60]!r}"
        raise ConfigError(f"{source} must be a mapping of sections, not {found}.")
    return load_settings(Config, values, overrides, source)


def dump_config(config: Config) -> str:
    """Return settings as YAML that :func:`load_config` reads back to an equal record."""
    return dump_yaml(config.model_dump(mode="json"))
