"""The predictor: from a photo to class probabilities and a mask, with one model.

Several models are combined by :class:`bunri.predict.ensemble.Ensemble`, a predictor, too.
Predictors may be shared by threads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from bunri.core.classes import ClassTable
from bunri.core.contracts import MAX_PHOTO_PIXELS, FloatArray, ImageArray, MaskArray, check_image
from bunri.core.errors import InputError, ModelError
from bunri.core.settings import load_settings
from bunri.images.decider import Decider, gather_probs
from bunri.images.frames import crop_content, fit_size_hw, pad_to_stride, resize_image
from bunri.images.planes import ClassPlanes, FramePlanes
from bunri.images.resizing import resize_planes
from bunri.model.info import BundleInfo
from bunri.model.lookup import StoredModel, open_model
from bunri.predict.backends.engines import Backend, SharingBackend, open_backend
from bunri.predict.crf import refine_planes, require_crf
from bunri.predict.settings import (
    PLAIN,
    PredictionSettings,
    TileSettings,
    check_classes,
    order_classes,
)
from bunri.predict.specks import remove_specks
from bunri.predict.tiles import predict_tiles
from bunri.predict.tta import View, list_views, predict_views

AdjustSettings = Callable[[PredictionSettings], PredictionSettings]
"""Makes the settings to predict with from those stored in the bundle."""


class AnyPredictor(ABC):
    """Base class of one model and of several models that predict together.

    Raises InputError, MissingExtraError.
    """

    given: tuple[str, ...] = ("model",)
    """Names as the user wrote them; set by the loaders."""
    stored: tuple[StoredModel, ...] = ()
    """The models on disk that it was loaded from; none for one built in memory."""

    def __init__(self, info: BundleInfo, settings: PredictionSettings = PLAIN) -> None:
        self.info = info
        self.settings = settings
        check_classes(settings, info.table)
        if settings.crf is not None:
            require_crf()
        thresholds = {
            info.table.index_of(one.name): one.probability for one in settings.class_thresholds
        }
        self._decider = Decider(order_classes(settings, info.table), thresholds)

    @property
    def name(self) -> str:
        """Name in results: models as the user wrote them."""
        return " + ".join(self.given)

    @property
    def table(self) -> ClassTable:
        """Classes that mask values are indices into."""
        return self.info.table

    @abstractmethod
    def compute_planes(self, image: ImageArray) -> ClassPlanes:
        """Return the probabilities of a photo, uint8 (H, W, 3), before any CRF."""

    def share_cores(self) -> AbstractContextManager[int]:
        """Yield the number of threads that should predict at once until the block ends."""
        return nullcontext(1)

    def predict_planes(self, image: ImageArray) -> ClassPlanes:
        """Return class probabilities that are enlarged to the photo's size one class at a time.

        Args:
            image: uint8 (H, W, 3) RGB, upright.
        """
        planes = self.compute_planes(check_image(image))
        if self.settings.crf is not None:
            return refine_planes(planes, image, self.settings.crf)
        return planes

    def predict_probs(self, image: ImageArray) -> FloatArray:
        """Return the probabilities of a photo, float32 (C, H, W), which sum to 1 over C.

        Arguments and errors as for :meth:`predict_planes`.
        """
        return np.stack(list(self.predict_planes(image)))

    def predict_mask(self, image: ImageArray) -> MaskArray:
        """Return the class of each pixel, uint8 (H, W), an index into ``table``.

        Arguments and errors as for :meth:`predict_planes`.
        """
        return self.decide(self.predict_planes(image))

    def predict_winners(self, image: ImageArray) -> tuple[MaskArray, FloatArray]:
        """Return the mask, uint8 (H, W), and the probability of its classes, float32 (H, W).

        Class thresholds and the removal of small regions may choose a class that is not the most
        probable one. Arguments and errors as for :meth:`predict_planes`.
        """
        planes = self.predict_planes(image)
        mask = self.decide(planes)
        return mask, gather_probs(planes, mask)

    def decide(self, planes: ClassPlanes) -> MaskArray:
        """Return the mask that the settings make of probabilities, uint8 (H, W)."""
        mask = self._decider.choose(planes)
        if self.settings.min_region_share:
            return remove_specks(mask, self.settings.min_region_share)
        return mask


class Predictor(AnyPredictor):
    """One model, ready to predict."""

    def __init__(
        self, info: BundleInfo, backend: Backend, settings: PredictionSettings = PLAIN
    ) -> None:
        super().__init__(info, settings)
        self._backend = backend
        self._views = list_views(settings)

    def compute_planes(self, image: ImageArray) -> ClassPlanes:
        """Return the network's probabilities of a photo; see :class:`AnyPredictor`."""
        photo_hw = image.shape[0], image.shape[1]
        if self.settings.tiles is not None:
            return self._predict_tiles(image, photo_hw, self.settings.tiles)
        size_hw = fit_size_hw(photo_hw, self.info.preprocessing.size_px)
        first, *others = self._views
        if first.is_upright and not others:
            content = resize_image(image, first.scale_hw(size_hw))
            return FramePlanes(self._run(content), photo_hw)
        return FramePlanes(predict_views(image, size_hw, self._views, self._run_finely), photo_hw)

    def share_cores(self) -> AbstractContextManager[int]:
        """Yield the number of threads that should predict at once until the block ends.

        It is 1 for an engine that cannot share its cores, and in tiles, whose photos are large.
        """
        if isinstance(self._backend, SharingBackend) and self.settings.tiles is None:
            return self._backend.share_cores()
        return nullcontext(1)

    def compute_view(self, image: ImageArray, view: View) -> FloatArray:
        """Return the network's probabilities for one view of a whole photo, float32 (C, h, w).

        Height and width are those of the photo in the network's frame, whatever the view.
        """
        size_hw = fit_size_hw((image.shape[0], image.shape[1]), self.info.preprocessing.size_px)
        return predict_views(image, size_hw, [view], self._run_finely)

    def _predict_tiles(
        self, image: ImageArray, photo_hw: tuple[int, int], tiles: TileSettings
    ) -> ClassPlanes:
        size_px = self.info.preprocessing.size_px
        size_hw = photo_hw
        if tiles.scale is not None:
            size_hw = fit_size_hw(photo_hw, max(1, round(size_px * tiles.scale)))
        if size_hw[0] * size_hw[1] > MAX_PHOTO_PIXELS:
            raise InputError(
                f"With tiles.scale={tiles.scale:g} a photo of {photo_hw[1]}x{photo_hw[0]} is "
                f"resized to {size_hw[1]}x{size_hw[0]}; the limit is {MAX_PHOTO_PIXELS} pixels."
            )

        def predict(tile: ImageArray) -> FloatArray:
            tile_hw = tile.shape[0], tile.shape[1]
            return predict_views(tile, tile_hw, self._views, self._run_finely)

        tile_px = pad_to_stride(size_px)
        resized = resize_image(image, size_hw)
        return predict_tiles(resized, photo_hw, tile_px, tiles.overlap, predict)

    def _run_finely(self, content: ImageArray) -> FloatArray:
        """Return :meth:`_run` at the size of ``content``, float32 (C, h, w)."""
        content_hw = content.shape[0], content.shape[1]
        probs = self._run(content)
        return probs if probs.shape[1:] == content_hw else resize_planes(probs, content_hw)

    def _run(self, content: ImageArray) -> FloatArray:
        """Return the network's probabilities without padding, float32 (C, h / s, w / s), finite.

        Args:
            content: uint8 (h, w, 3), the resized photo.
        """
        frame = self.info.preprocessing.frame(content)
        frame_hw = frame.shape[1], frame.shape[2]
        probs = self._backend.predict_probs(frame)
        num_classes, *found_hw = probs.shape
        stride = frame_hw[0] // max(found_hw[0], 1)
        is_whole = all(s * stride == side for s, side in zip(found_hw, frame_hw, strict=True))
        if num_classes != len(self.table) or not is_whole:
            raise ModelError(
                f"The network returns probabilities of shape {probs.shape}; the model's classes "
                f"and frame need {(len(self.table), *frame_hw)}, or a whole fraction of height "
                "and width.",
                hint="The model file and its metadata do not belong together: export it again.",
            )
        if not np.isfinite(probs).all():  # NaN would lose every comparison, unnoticed
            raise ModelError(
                "The model's probabilities are not all numbers (NaN or infinite).",
                hint="Its weights are damaged, or its training diverged: use another epoch or run.",
            )
        return crop_content(probs, frame_hw, (content.shape[0], content.shape[1]))


def load_predictor(model: str, adjust: AdjustSettings | None = None) -> Predictor:
    """Return a predictor for a single MODEL.

    Raises ConfigError, ModelError, MissingExtraError.
    """
    stored = open_model(model)
    return load_stored_predictor(stored, read_settings(stored, adjust))


def load_stored_predictor(stored: StoredModel, settings: PredictionSettings) -> Predictor:
    """Return a predictor for a model that was opened already; see :func:`load_predictor`."""
    predictor = Predictor(stored.info, open_backend(stored), settings)
    predictor.given, predictor.stored = (stored.name,), (stored,)
    return predictor


def read_settings(stored: StoredModel, adjust: AdjustSettings | None) -> PredictionSettings:
    """Return the settings stored in a model, adjusted."""
    values = stored.info.prediction.get("settings", {})
    settings = load_settings(PredictionSettings, values, (), f"{stored.name}: prediction")
    return settings if adjust is None else adjust(settings)
