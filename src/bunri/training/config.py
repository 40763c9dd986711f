"""Every setting of a training run: typed, bounded, frozen, and refused early.

Owns names, defaults and limits of settings. Knows nothing of what a setting does, nor of how
settings are written; the defaults are the recipe ``fpn-lite0``.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from bunri.core.errors import ConfigError, suggest
from bunri.core.fields import Fraction, NonNegative, Positive, PositiveFraction
from bunri.core.settings import Section, dump_yaml, load_settings, parse_yaml
from bunri.images.frames import FrameSize, Normalization
from bunri.labels.rules import OverlapRule

MAX_CONFIG_BYTES = 1_000_000
DEFAULT_RECIPE = "fpn-lite0"


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
LossName = Literal["ce", "ohem", "focal", "dice", "jaccard", "tversky", "lovasz", "boundary"]
LOSS_NAMES: tuple[LossName, ...] = get_args(LossName)
"""The fields of ``LossConfig`` that are weights."""


class ModelConfig(Section):
    """Which network, and which weights it starts from."""

    name: ModelName = "fpn"
    encoder: str = "tf_efficientnet_lite0"
    """A name of timm's, or of segmentation_models.pytorch's where timm has none.

    ``fcn8s`` is defined on ``vgg16``, ``segnet`` on ``vgg16_bn``, and takes no other.
    """
    weights: str = "imagenet"
    """``imagenet``, ``none``, a local weights file of the encoder, or a model to train further."""
    weights_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """What a local weights file must hash to; without it the file is taken as it is."""
    decoder_channels: int = Field(default=128, ge=64, le=1024, multiple_of=64)
    """Width of the decoder; what that is in each network stands in docs/models.md.

    In multiples of 64, since half of the FPN pyramid is normalised in 32 groups.
    """
    dropout: Fraction = 0.2

    @model_validator(mode="after")
    def _check_sha256(self) -> Self:
        if self.weights_sha256 is not None and self.weights in ("imagenet", "none"):
            raise ValueError(
                f"weights_sha256 is of a local file, but weights is {self.weights!r}; "
                "set weights to the file's path"
            )
        return self


class InputConfig(Section):
    """The one preprocessing: from a photo to the frame that the network sees."""

    size_px: FrameSize = 384
    """The photo's longer side becomes this; the rest is padded."""
    normalization: Normalization = "half"
    """``none``: 0..1; ``imagenet``: ImageNet's mean and deviation; ``half``: -1..1."""


class DataConfig(Section):
    """How annotations become masks, and how much of the data is kept in memory."""

    overlap_rule: OverlapRule = "largest-first"
    """Which object owns a pixel that several claim."""
    memory_mb: int = Field(default=4096, ge=0, le=2**20)
    """Decoded photos kept in memory up to this; the rest is decoded again each time."""
    allow_leaks: bool = False
    """Train although validation photos, or edited copies of them, are in training too."""
    pseudo_weight: PositiveFraction = 1.0
    """What a photo with pseudo-labels counts for in the loss, where one with true labels is 1."""
    repeat_rare: Fraction = 0.5
    """Photos with a class that is in fewer than this share of photos come more often; 0: off."""


class AugmentConfig(Section):
    """What is changed at random on training photos; every field at 0 or null: nothing."""

    crop_size_px: FrameSize | None = 256
    """Side of the random-resized crop; null trains on whole frames of ``input.size_px``."""
    crop_area: tuple[Positive, Positive] = (0.1, 1.0)
    """Share of the photo's area that a crop covers, smallest and largest."""
    crop_aspect: tuple[Positive, Positive] = (0.75, 1.3333)
    """Width / height of a crop before it is made square, smallest and largest."""
    hflip: Fraction = 0.5
    vflip: Fraction = 0.5
    quarter_turn: Fraction = 0.0
    """How often a photo is turned by 90, 180 or 270 degrees."""
    rotate: Fraction = 0.0
    """How often a photo is turned by up to ``rotate_deg``; what comes from outside is ignored."""
    rotate_deg: Annotated[float, Field(gt=0.0, le=180.0)] = 30.0
    crop_object: Fraction = 0.0
    """How often the crop is placed so that it holds an object."""
    grid: Fraction = 0.0
    """How often the cells of a mesh are stretched differently."""
    elastic: Fraction = 0.0
    """How often pixels are shifted a little, neighbours alike."""
    brightness: Fraction = 0.4
    contrast: Fraction = 0.4
    saturation: Fraction = 0.4
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.03
    clahe: Fraction = 0.0
    """How often contrast is equalised locally (CLAHE)."""
    blur: Fraction = 0.0
    """How often a photo is blurred."""
    jpeg: Fraction = 0.0
    """How often a photo is compressed as a poor JPEG."""
    noise: Fraction = 0.0
    """How often a photo is given a sensor's noise."""
    shadow: Fraction = 0.0
    """How often a shadow falls across a photo."""
    cutmix: Fraction = 0.0
    """How often a rectangle comes from another training photo."""
    classmix: Fraction = 0.0
    """How often half of another training photo's classes are laid over this one."""
    paste: Fraction = 0.0
    """How often objects of rare classes are pasted from other training photos."""
    paste_classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the classes that are pasted; null: those that ``data.repeat_rare`` calls rare."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        for name, (low, high) in (("crop_area", self.crop_area), ("crop_aspect", self.crop_aspect)):
            if low > high:
                raise ValueError(f"{name}: the first value {low} is above the second {high}")
        if self.crop_area[1] > 1.0:
            raise ValueError(f"crop_area: the second value {self.crop_area[1]} is above 1")
        return self


class LossConfig(Section):
    """The weighted sum that training minimises: a weight per loss (0: off), then their settings."""

    ce: NonNegative = 1.0
    """Weight of the cross-entropy."""
    ohem: NonNegative = 0.0
    """Weight of the cross-entropy over the hardest pixels alone."""
    focal: NonNegative = 0.0
    """Weight of the focal loss, a cross-entropy that hardly counts easy pixels."""
    dice: NonNegative = 1.0
    """Weight of the Dice loss over the classes present in the batch."""
    jaccard: NonNegative = 0.0
    """Weight of the Jaccard (IoU) loss over the classes present in the batch."""
    tversky: NonNegative = 0.0
    """Weight of the Tversky loss: Dice with a price each for too much and too little."""
    lovasz: NonNegative = 0.0
    """Weight of the Lovasz-Softmax loss over the classes present in the batch."""
    boundary: NonNegative = 0.0
    """Weight of the boundary loss: wrong pixels cost more the farther from the true border."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of the truth that ``ce`` spreads over all classes."""
    class_weights: tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...] | None = None
    """What a pixel of each class counts in ``ce``, in the class table's order; null: the same."""
    ohem_share: PositiveFraction = 0.25
    """Share of a batch's valid pixels that ``ohem`` keeps."""
    focal_gamma: Annotated[float, Field(ge=0.0, le=10.0)] = 2.0
    """How strongly ``focal`` discounts easy pixels; at 0 it is the cross-entropy."""
    tversky_alpha: PositiveFraction = 0.3
    """Price of a pixel wrongly given to a class; with both at 0.5 it is Dice, at 1 Jaccard."""
    tversky_beta: PositiveFraction = 0.7
    """Price of a pixel that a class misses."""

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if not any(getattr(self, name) for name in LOSS_NAMES):
            names = ", ".join(LOSS_NAMES)
            raise ValueError(f"all loss weights are 0; give one of {names} a positive weight")
        return self


class OptimConfig(Section):
    """How weights move."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    lr: Positive = 7e-4
    encoder_lr_scale: NonNegative = 0.3
    """The encoder's rate is ``lr`` times this."""
    layer_decay: PositiveFraction = 1.0
    """Below 1, each stage of the encoder has this share of the rate of the next deeper one."""
    weight_decay: NonNegative = 1e-2
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    """Of ``sgd`` alone."""
    schedule: Literal["constant", "cosine", "poly"] = "cosine"
    poly_power: Positive = 0.9
    """Of ``poly`` alone: the rate is (1 - share of steps done) to this power."""
    warmup: Fraction = 0.05
    """Share of all steps in which the rate climbs from 0 to ``lr``."""
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """The model kept is an average over steps: this much of the old average stays; 0: off."""
    swa_share: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """The model kept is the plain average over this last share of all steps; 0: off."""
    clip_norm: NonNegative = 0.0
    """Gradients whose norm is above this are scaled down to it; 0: off."""

    @model_validator(mode="after")
    def _check_averages(self) -> Self:
        if self.ema_decay and self.swa_share:
            raise ValueError(
                f"swa_share: {self.swa_share} beside ema_decay {self.ema_decay}: both average "
                "weights; set one of them to 0"
            )
        return self


class TrainConfig(Section):
    """How long, how much at once, and what counts as best."""

    epochs: int = Field(default=16, ge=1, le=100_000)
    samples_per_epoch: int | None = Field(default=600, ge=1)
    """Training samples between two validations; null: each photo once."""
    batch_size: int = Field(default=16, ge=1, le=4096)
    accumulate: int = Field(default=1, ge=1, le=4096)
    """Parts that a batch is worked through in: less memory, the same batch."""
    precision: Precision = "auto"
    memory_format: MemoryFormat = "auto"
    """How pixels lie in memory; ``auto`` takes whichever is faster here."""
    num_workers: int = Field(default=1, ge=0, le=256)
    """Processes that load and augment; 0 does it in the training process."""
    worker_timeout_s: int = Field(default=300, ge=0, le=86_400)
    """A loader process that is silent for longer is given up; 0: wait for ever."""
    select_by: SelectBy = "global_miou"
    """The validation figure that decides which epoch is kept as best."""
    num_sample_pictures: int = Field(default=4, ge=0, le=64)
    """Validation photos drawn beside truth and prediction after every epoch."""
    tracker: TrackerName = "none"
    """Where figures go beside the JSON lines of the run folder."""

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate: a batch of {self.batch_size} cannot be worked through in "
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
    folder = resources.files("bunri.training") / "recipes"
    return sorted(
        f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")
    )


def read_recipe(name_or_file: str) -> str:
    """Return the YAML text of a recipe, by its name in the package or its path.

    Raises:
        ConfigError: Neither a known name nor a readable file; the nearest names are listed.
    """
    if name_or_file in list_recipes():
        return (resources.files("bunri.training") / "recipes" / f"{name_or_file}.yaml").read_text(
            "utf-8"
        )
    path = Path(name_or_file)
    try:
        is_file = path.is_file()
    except OSError:  # a name too long, or a folder that may not be entered
        is_file = False
    if not is_file:
        raise ConfigError(
            f"{name_or_file!r} is neither a recipe nor a file."
            f"{suggest(name_or_file, list_recipes())}"
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
        yaml_text: A mapping of sections; what it leaves out keeps its default.
        overrides: What ``--set`` was given, for example ``optim.lr=3e-4``.
        source: How error messages call the text.

    Raises:
        ConfigError: With every fault at once: unknown keys, wrong types, bad ranges.
    """
    values = parse_yaml(yaml_text, source)
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{source} must be a mapping of sections, not {_describe(values)}.")
    return load_settings(Config, values, overrides, source)


def dump_config(config: Config) -> str:
    """Return settings as YAML that :func:`load_config` reads back to an equal record."""
    return dump_yaml(config.model_dump(mode="json"))


def _describe(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}"
