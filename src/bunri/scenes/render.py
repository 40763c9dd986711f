"""Rendering of scenes: layout, overlaps, shadows, and the camera's imperfections."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from bunri.core.contracts import BACKGROUND_INDEX, FloatArray, ImageArray, MaskArray
from bunri.core.errors import ConfigError
from bunri.images.noise import make_noise
from bunri.scenes.canvas import Canvas, Patch, View
from bunri.scenes.catalogue import PHOTO_SHARES, VARIANTS, Variant
from bunri.scenes.grounds import draw_ground

MIN_SIZE_PX, MAX_SIZE_PX = 64, 2048
_LAYOUT_CELLS = 96
"""Cells of the grid on which overlaps are measured: a layout does not depend on the size."""
_MIN_SEEN_SHARE = 0.55
"""Smallest visible share that an object leaves of each object below it."""
_TRIES = 12

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SceneObject:
    """An object in a scene; its mask, bool (H, W), includes the parts that others cover."""

    class_index: int
    mask: BoolArray


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered photo, uint8 (H, W, 3) RGB, and its objects from the lowest to the topmost."""

    image: ImageArray
    objects: tuple[SceneObject, ...]

    @property
    def mask(self) -> MaskArray:
        """uint8 (H, W) class indices; later objects cover earlier ones."""
        mask = np.full(self.image.shape[:2], BACKGROUND_INDEX, np.uint8)
        for thing in self.objects:
            mask[thing.mask] = thing.class_index
        return mask


@dataclass(slots=True)
class _Placed:
    # An object in the layout; positions and sizes as shares of the photo's side.
    class_index: int
    variant: Variant
    side: float
    turn_deg: float
    center: tuple[float, float] = (0.5, 0.5)
    seen: BoolArray = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


def render_scene(seed: int, size_px: int = 512, classes: Sequence[int] | None = None) -> Scene:
    """Render one photo of waste on the ground; the same arguments give the same scene.

    Args:
        seed: Seed of everything else, at least 0.
        size_px: Side of the square photo, 64 to 2048.
        classes: Mask indices that shall be seen, and no others; None draws them as often as
            real photos show them.

    Raises:
        ConfigError: An argument is out of range.
    """
    _check_arguments(seed, size_px, classes)
    rng = np.random.default_rng([seed, 0])
    wanted = sorted(set(classes)) if classes is not None else draw_classes(rng)
    view = _draw_view(rng)
    placed = _lay_out(rng, wanted)
    picture = draw_ground(np.random.default_rng([seed, 1]), size_px)
    things = []
    for number, thing in enumerate(placed):
        canvas = Canvas(thing.side * size_px, thing.turn_deg, view)
        thing.variant.draw(canvas, np.random.default_rng([seed, 2, number]))
        mask = _lay_down(picture, canvas.finish(), thing, view)
        things.append(SceneObject(thing.class_index, mask))
    return Scene(_take_photo(np.random.default_rng([seed, 3]), picture), tuple(things))


def _check_arguments(seed: int, size_px: int, classes: Sequence[int] | None) -> None:
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more.")
    if not MIN_SIZE_PX <= size_px <= MAX_SIZE_PX:
        raise ConfigError(f"size_px is {size_px}; it must be {MIN_SIZE_PX} to {MAX_SIZE_PX}.")
    if classes is not None and (not classes or not set(classes) <= set(VARIANTS)):
        raise ConfigError(
            f"classes is {list(classes)}; it must name at least one of the mask indices "
            f"{min(VARIANTS)} to {max(VARIANTS)}."
        )


def draw_classes(rng: np.random.Generator) -> list[int]:
    """Return the classes of one photo, at least one, as often as real photos show them."""
    while True:
        chosen = [index for index, share in PHOTO_SHARES.items() if rng.random() < share]
        if chosen:
            return chosen


def _draw_view(rng: np.random.Generator) -> View:
    azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(42, 66))
    light = (
        float(np.cos(azimuth) * np.cos(height)),
        float(np.sin(azimuth) * np.cos(height)),
        float(np.sin(height)),
    )
    return View(light, rng.uniform(28, 48))


def _lay_out(rng: np.random.Generator, wanted: list[int]) -> list[_Placed]:
    """Choose objects, sizes and places; large objects are laid first."""
    count = max(int(rng.integers(4, 9)), len(wanted))
    weights = np.array([np.sqrt(PHOTO_SHARES[index]) for index in wanted])
    extra = rng.choice(wanted, count - len(wanted), p=weights / weights.sum())
    crowding = min(1.0, (6.0 / count) ** 0.5)
    things = []
    for index in [*wanted, *extra.tolist()]:
        variants = VARIANTS[index]
        variant = variants[int(rng.integers(len(variants)))]
        least, greatest = variant.share
        side = max((greatest - (greatest - least) * rng.random() ** 2.5) * crowding, 0.08)
        turn_deg = rng.uniform(-variant.max_turn_deg, variant.max_turn_deg)
        things.append(_Placed(index, variant, side, turn_deg))
    must_stay = set(range(len(wanted)))
    order = sorted(range(count), key=lambda k: -things[k].side)
    middle = rng.uniform(0.35, 0.65, 2)
    spread = rng.uniform(0.16, 0.26)
    laid: list[_Placed] = []
    for k in order:
        if _find_place(rng, things[k], laid, middle, spread) or k in must_stay:
            _cover(things[k], laid)
    return laid


def _find_place(
    rng: np.random.Generator,
    thing: _Placed,
    laid: list[_Placed],
    middle: npt.NDArray[np.float64],
    spread: float,
) -> bool:
    # Try places about the middle of the pile and keep the one that hides the least.
    best = -1.0
    for _ in range(_TRIES):
        spot = np.clip(rng.normal(middle, spread), 0.02, 0.98)
        silhouette = _sketch(thing, (float(spot[0]), float(spot[1])))
        seen = [(lower.seen & ~silhouette).sum() / _full_area(lower) for lower in laid]
        worst = float(min([*seen, silhouette.sum() / _full_area(thing)]))
        if worst > best:
            best, thing.center = worst, (float(spot[0]), float(spot[1]))
        if worst >= _MIN_SEEN_SHARE:
            break
    return best >= _MIN_SEEN_SHARE


def _cover(thing: _Placed, laid: list[_Placed]) -> None:
    thing.seen = _sketch(thing, thing.center)
    for lower in laid:
        lower.seen = lower.seen & ~thing.seen
    laid.append(thing)


def _full_area(thing: _Placed) -> float:
    return float(max(np.pi / 4 * (0.85 * thing.side * _LAYOUT_CELLS) ** 2, 1))


def _sketch(thing: _Placed, center: tuple[float, float]) -> BoolArray:
    # A disc approximates the object, whose real outline is known only once it is drawn.
    axis = (np.arange(_LAYOUT_CELLS) + 0.5) / _LAYOUT_CELLS
    distance = np.hypot(axis[None, :] - center[0], axis[:, None] - center[1])
    return np.asarray(distance < 0.85 * thing.side / 2, np.bool_)


def _lay_down(picture: FloatArray, patch: Patch, thing: _Placed, view: View) -> BoolArray:
    """Blend an object and its shadow into the picture; return its silhouette."""
    size_px = len(picture)
    side_px = thing.side * size_px
    center = (thing.center[0] * size_px, thing.center[1] * size_px)
    reach_px = int(1.4 * _measure_shadow(side_px, thing.variant.thickness) + 0.05 * side_px) + 3
    solid = np.pad(0.5 * (patch.opacity + patch.coverage), reach_px)
    shadow = _cast_shadow(solid, side_px, thing.variant.thickness, view)
    there, here = _clip_window(center, len(shadow), size_px)
    picture[there] *= 1 - shadow[here][..., None]
    there, here = _clip_window(center, len(patch.opacity), size_px)
    picture[there] *= 1 - patch.opacity[here][..., None]
    picture[there] += patch.color[here]
    mask = np.zeros((size_px, size_px), np.bool_)
    mask[there] = patch.coverage[here] >= 0.5
    return mask


def _clip_window(
    center: tuple[float, float], window_px: int, size_px: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the overlap of picture and window about ``center``, in coordinates of each."""
    # The centre is rounded once, so that an even window and a wider one stay aligned.
    left, top = (round(at) - window_px // 2 for at in center)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = max(min(top + window_px, size_px), y0), max(min(left + window_px, size_px), x0)
    there = np.s_[y0:y1, x0:x1]
    return there, np.s_[y0 - top : y1 - top, x0 - left : x1 - left]


def _cast_shadow(body: FloatArray, side_px: float, thickness: float, view: View) -> FloatArray:
    # A thin dark rim where the object touches the ground, and a wide shadow away from the light:
    # the silhouette swept over the ground, softer the higher the object stands.
    x, y, z = view.light
    length_px = _measure_shadow(side_px, thickness)
    direction = np.array([-x, -y]) / max(float(np.hypot(x, y)), 1e-6)
    swept = np.zeros_like(body)
    for share in (0.25, 0.5, 0.75, 1.0):
        dx, dy = np.rint(direction * length_px * share * np.hypot(x, y) / z).astype(int)
        np.maximum(swept, np.roll(body, (dy, dx), (0, 1)), out=swept)
    wide = _blur(swept, 0.012 * side_px + 0.16 * length_px + 0.5)
    close = _blur(body, 0.014 * side_px + 0.6)
    return np.asarray(1 - (1 - 0.5 * wide) * (1 - 0.3 * close), np.float32)


def _measure_shadow(side_px: float, thickness: float) -> float:
    return 0.8 * side_px * thickness


def _blur(plane: FloatArray, radius_px: float) -> FloatArray:
    # A wide blur looks the same at half the size and takes a quarter of the time.
    gray = Image.fromarray((np.clip(plane, 0, 1) * 255).astype(np.uint8))
    if radius_px > 3:
        soft = gray.reduce(2).filter(ImageFilter.GaussianBlur(radius_px / 2))
        soft = soft.resize(gray.size, Image.Resampling.BILINEAR)
    else:
        soft = gray.filter(ImageFilter.GaussianBlur(radius_px))
    return np.asarray(soft, np.float32) * np.float32(1 / 255)


def _take_photo(rng: np.random.Generator, picture: FloatArray) -> ImageArray:
    """Add the camera's imperfections: uneven light, white balance, blur, noise."""
    size_px = len(picture)
    ramp = np.linspace(-1, 1, size_px, dtype=np.float32)
    slope = rng.uniform(-0.14, 0.14, 2).astype(np.float32)
    falloff = np.float32(rng.uniform(0.02, 0.14))
    light = 1 + slope[0] * ramp[None, :] + slope[1] * ramp[:, None]
    light = light - falloff * (ramp[None, :] ** 2 + ramp[:, None] ** 2)
    light *= 1 + 0.06 * make_noise(rng, (size_px, size_px), size_px * 0.6)
    warmth = rng.normal(0, 0.05)
    balance = np.array([1 + warmth, 1 + rng.normal(0, 0.012), 1 - warmth], np.float32)
    exposed = picture * light[..., None] * (balance * np.float32(rng.uniform(0.9, 1.28)))
    np.clip(exposed, 0, 2, out=exposed)
    bright = exposed > 0.8
    exposed[bright] = 0.8 + 0.2 * np.tanh((exposed[bright] - 0.8) * 5)
    exposed += np.float32(rng.uniform(-0.15, 0.2)) * exposed * (1 - exposed)
    haze = np.float32(rng.uniform(0.0, 0.05))
    toned = haze + (1 - haze) * exposed
    photo = Image.fromarray((np.clip(toned, 0, 1) * 255 + 0.5).astype(np.uint8))
    photo = photo.filter(ImageFilter.GaussianBlur(size_px / 512 * rng.uniform(0.3, 0.85)))
    sensor = rng.standard_normal((size_px, size_px, 3), dtype=np.float32)
    grain = sensor * np.float32(rng.uniform(1.0, 3.5))
    return np.clip(np.asarray(photo, np.float32) + grain + 0.5, 0, 255).astype(np.uint8)
