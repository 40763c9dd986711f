"""A model as Python users see it: photos in, predictions out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bunri.core.classes import ClassInfo, ClassTable
from bunri.core.contracts import FloatArray, ImageArray, MaskArray
from bunri.core.errors import InputError
from bunri.core.files import replace_atomically, write_json
from bunri.core.settings import write_overrides
from bunri.images.drawing import draw_labelled_overlay, make_index_picture
from bunri.images.photos import PhotoLike, load_photo
from bunri.images.planes import ClassPlanes
from bunri.predict.choices import PredictionChoices, open_predictor
from bunri.predict.outputs import measure_areas
from bunri.predict.predictor import AnyPredictor
from bunri.predict.regions import Region, find_regions
from bunri.predict.settings import Combine
from bunri.predict.to_folder import map_ahead, open_pool

_OVERLAY_SUFFIXES = (".jpg", ".jpeg", ".webp")


@dataclass(frozen=True, slots=True)
class ClassShare:
    """A class found in a photo.

    Attributes:
        index: Mask value of the class.
        name: English name.
        name_ko: Korean name.
        area_px: Number of pixels, of the photo's own size.
        share: Fraction of the photo's area, 0..1.
    """

    index: int
    name: str
    name_ko: str
    area_px: int
    share: float


class Prediction:
    """The classes of one photo, pixel by pixel, at the photo's own size.

    Attributes:
        image: The photo, ``uint8 (H, W, 3)`` RGB, upright.
        mask: Class index of each pixel, ``uint8 (H, W)``.
        table: The classes that mask values are indices into.
    """

    def __init__(
        self, image: ImageArray, mask: MaskArray, table: ClassTable, planes: ClassPlanes
    ) -> None:
        self.image = image
        self.mask = mask
        self.table = table
        self._planes = planes

    def __repr__(self) -> str:
        height, width = self.mask.shape
        shares = ", ".join(f"{found.name} {found.share:.1%}" for found in self.classes)
        return f"<Prediction of {width}x{height} px: {shares}>"

    @property
    def classes(self) -> list[ClassShare]:
        """The classes in the mask with their area, largest first."""
        return [
            ClassShare(row["index"], row["name"], row["name_ko"], row["pixels"], row["share"])
            for row in measure_areas(self.mask, self.table)
        ]

    def probs(self) -> FloatArray:
        """Return the probability of each class at each pixel.

        Returns:
            ``float32 (C, H, W)``, sums to 1 over C. A 12-megapixel photo takes 576 MB.
        """
        return np.stack(list(self._planes))

    def overlay(self) -> Image.Image:
        """Return the photo with tinted, outlined objects and a legend below."""
        return Image.fromarray(draw_labelled_overlay(self.image, self.mask, self.table))

    def regions(self, min_share: float = 0.001) -> list[Region]:
        """Return the connected regions of each class but the background, largest first.

        Args:
            min_share: Smallest region to return, as a fraction of the photo's area, 0..1.
        """
        return find_regions(self.mask, self.table, min_share)

    def save(self, path: str | Path) -> Path:
        """Write the prediction to a file, whole or not at all.

        Args:
            path: ``.png``: the mask, 8 bits per pixel, values are class indices and the palette
                shows their colours. ``.jpg`` or ``.webp``: the overlay. ``.json``: classes and
                regions.

        Returns:
            The path.

        Raises:
            InputError: The suffix is none of these.
            OutputError: The file cannot be written.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            write_json(path, self.to_json())
            return path
        if suffix == ".png":
            picture = make_index_picture(self.mask, self.table)
        elif suffix in _OVERLAY_SUFFIXES:
            picture = self.overlay()
        else:
            raise InputError(
                f"A prediction cannot be saved as {path.name!r}.",
                hint="Use .png for the mask, .jpg or .webp for the overlay, .json for regions.",
            )
        with replace_atomically(path) as temporary:
            picture.save(temporary, quality=90)  # PNG has no quality and ignores it
        return path

    def to_json(self) -> dict[str, Any]:
        """Return classes and regions as plain values."""
        height, width = self.mask.shape
        return {
            "height_px": height,
            "width_px": width,
            "classes": measure_areas(self.mask, self.table),
            "regions": [region.to_json() for region in self.regions()],
        }


class Model:
    """A trained model, or several as an ensemble. Safe to use from several threads.

    Attributes:
        name: Name or path that the model was loaded by.
        predictor: The predictor behind it.
        settings: Settings of prediction: views, tiles, CRF, thresholds.
        table: The classes that masks are indices into.
    """

    def __init__(self, predictor: AnyPredictor, name: str) -> None:
        self.predictor = predictor
        self.name = name
        self.table = predictor.table
        self.settings = predictor.settings

    def __repr__(self) -> str:
        return f"<Model {self.name}: {', '.join(self.table.names)}>"

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes in the order of their mask values."""
        return self.table.classes

    def predict(self, photo: PhotoLike) -> Prediction:
        """Return the classes of one photo.

        Args:
            photo: Path of a JPEG, PNG or WebP file, its bytes, an open binary file, a PIL image,
                or an array ``uint8 (H, W, 3)`` in RGB order. Rotation by EXIF is applied to all
                but arrays.

        Raises:
            ImageError: The photo is none, or damaged; the array has another type or shape.
            ModelError: The model's probabilities are not numbers.
        """
        image = load_photo(photo)
        planes = self.predictor.predict_planes(image)
        return Prediction(image, self.predictor.decide(planes), self.table, planes)

    def predict_batch(self, photos: Iterable[PhotoLike]) -> Iterator[Prediction]:
        """Yield the classes of each photo, in order; several photos are predicted at a time.

        Args:
            photos: Any number of photos, as for :meth:`predict`; only a few are in memory at once.

        Raises:
            ImageError: A photo cannot be used.
            ModelError: The model's probabilities are not numbers.
        """
        with self.predictor.share_cores() as num_at_once, open_pool(num_at_once) as pool:
            if num_at_once > 1:
                yield from map_ahead(pool, self.predict, photos, num_at_once)
            else:
                yield from map(self.predict, photos)


def load_model(
    model: str | Path | Sequence[str | Path] = "bunri-small",
    *,
    weights: Sequence[float] | None = None,
    combine: Combine | None = None,
    **settings: Any,  # noqa: ANN401 (any setting)
) -> Model:
    """Load a model, or several as one ensemble.

    Args:
        model: A run folder, a bundle folder, an ``.onnx`` file that bunri wrote, the name of a
            shipped model, or a file of ``bunri tune``; a list makes an ensemble.
        weights: Relative weight of each model of an ensemble; equal by default.
        combine: ``soft`` (mean of probabilities, the default), ``hard`` (votes) or ``minmax``
            (mean of logits scaled to 0..1 for each photo).
        **settings: Settings of prediction in place of those stored in the model, for example
            ``scales=[1.2]``, ``flips=["horizontal"]``, ``tiles={}`` or ``crf={}``.

    Raises:
        ModelError: There is no such model, it is damaged, or the classes of several differ.
        ConfigError: A setting is unknown or out of range; all faults at once.
        InputError: Weights do not fit the models.
        MissingExtraError: The model needs a library that is not installed.
    """
    names = [model] if isinstance(model, str | Path) else list(model)
    if not names:
        raise InputError("load_model needs at least one model.")
    choices = PredictionChoices(weights, combine, overrides=write_overrides(settings))
    predictor = open_predictor(names, choices)
    return Model(predictor, " + ".join(map(str, names)))
