"""Geometric augmentation: crop, turn and distortions of a photo and its mask.

They are combined into one map of coordinates that is sampled once. Turning a whole photo and then
cropping it would take five times as long at 512 x 512 and 130 times at 12 megapixels, and each
change by itself would blur the photo again. Random numbers come from torch's generator.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from bunri.core.contracts import BACKGROUND_INDEX, IGNORE_INDEX
from bunri.training.config import AugmentConfig

GRID_CELLS = 5
"""Cells of the mesh along each side."""
GRID_STRETCH = 0.4
"""Largest relative change of a cell's width or height."""
ELASTIC_KNOTS = 7
"""Points along each side at which shifts are drawn; between them shifts are interpolated."""
ELASTIC_SHIFT = 0.012
"""Standard deviation of a shift, as a share of the crop's side."""

Box = tuple[int, int, int, int]
"""Top, left, height and width in px of the photo."""


class RandomView:
    """Step that crops, turns and distorts a photo and its mask, and scales them to a square.

    Pixels from outside the photo become 0, and ``IGNORE_INDEX`` in the mask. The crop follows
    ``RandomResizedCrop``. A crop that must contain an object is placed at random around one of its
    pixels and turned about this pixel; the object's class is drawn first, so that large classes
    are not preferred. If ``crop_size_px`` is null, photos must be squares of ``frame_px``.
    """

    def __init__(self, config: AugmentConfig, frame_px: int) -> None:
        self._config = config
        self._side_px = config.crop_size_px or frame_px
        self._crop = v2.RandomResizedCrop(
            self._side_px, scale=config.crop_area, ratio=config.crop_aspect
        )
        self._spread = _build_spread(self._side_px)

    def __call__(self, image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the view of a photo, uint8 (3, H, W), and of its mask, uint8 (H, W)."""
        box, pivot_yx = self._draw_box(image, mask)
        points = self._draw_points(box, pivot_yx)
        if points is None:
            size, nearest = [self._side_px, self._side_px], v2.InterpolationMode.NEAREST
            pixels: Tensor = functional.resized_crop(image, *box, size)
            labels: Tensor = functional.resized_crop(mask[None], *box, size, nearest)
            return pixels, labels[0]
        shrink = min(box[2:]) / self._side_px
        return read_pixels(image, points, shrink), read_labels(mask, points)

    def _draw_box(self, image: Tensor, mask: Tensor) -> tuple[Box, tuple[float, float]]:
        """Return the crop and the point (y, x) about which it is turned."""
        config, (height, width) = self._config, mask.shape
        if config.crop_size_px is None:
            return (0, 0, height, width), (height / 2, width / 2)
        found = self._crop.make_params([image])
        box: Box = found["top"], found["left"], found["height"], found["width"]
        anchor = find_object_pixel(mask) if happens(config.crop_object) else None
        if anchor is None:
            return box, (box[0] + box[2] / 2, box[1] + box[3] / 2)
        return _place_around(anchor, box, (height, width)), (anchor[0] + 0.5, anchor[1] + 0.5)

    def _draw_points(self, box: Box, pivot_yx: tuple[float, float]) -> Tensor | None:
        """Return the points to sample, see :func:`read_pixels`; None for a plain crop."""
        config, side_px = self._config, self._side_px
        angle_deg = draw(-config.rotate_deg, config.rotate_deg) if happens(config.rotate) else 0.0
        has_grid, is_elastic = happens(config.grid), happens(config.elastic)
        if not (angle_deg or has_grid or is_elastic):
            return None
        y, x = (_stretch_cells(side_px) if has_grid else _find_centers(side_px) for _ in range(2))
        points = torch.stack(torch.meshgrid(y, x, indexing="ij"))
        if is_elastic:
            knots = ELASTIC_SHIFT * torch.randn(2, ELASTIC_KNOTS, ELASTIC_KNOTS)
            points += self._spread @ knots @ self._spread.T
        top, left, height, width = box
        points[0] = points[0] * height + top
        points[1] = points[1] * width + left
        return _turn_about(points, pivot_yx, angle_deg)


def turn_quarters(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return a square photo, (3, H, H), and its mask turned by 90, 180 or 270 degrees."""
    turns = int(torch.randint(1, 4, ()))
    return torch.rot90(image, turns, (-2, -1)), torch.rot90(mask, turns, (-2, -1))


def read_pixels(image: Tensor, points: Tensor, shrink: float) -> Tensor:
    """Return a photo's colours at points, uint8 (3, h, w), bilinear; 0 outside the photo.

    Args:
        image: uint8 (3, H, W).
        points: float32 (2, h, w), y and x in px of the photo; pixels' corners are whole numbers.
        shrink: Distance of neighbouring points in px. Above 1, the photo is scaled down first with
            antialiasing, as for a plain crop.
    """
    sides = image.shape[-2:]
    first = [min(max(int(p.min()) - 1, 0), n - 1) for p, n in zip(points, sides, strict=True)]
    last = [min(max(int(p.max()) + 2, 1), n) for p, n in zip(points, sides, strict=True)]
    spans = [max(1, b - a) for a, b in zip(first, last, strict=True)]
    window = image[:, first[0] : first[0] + spans[0], first[1] : first[1] + spans[1]]
    if shrink > 1.0:
        window = functional.resize(window, [math.ceil(span / shrink) for span in spans])
    # grid_sample takes x before y, from -1 to 1 between the window's edges.
    x, y = ((points[axis] - first[axis]) * (2.0 / spans[axis]) - 1.0 for axis in (1, 0))
    read = grid_sample(
        window.float()[None],
        torch.stack((x, y), -1)[None],
        padding_mode="border",
        align_corners=False,
    )
    colors = read[0].round_().to(torch.uint8)
    return colors.mul_(_find_inside(points, image.shape))


def read_labels(labels: Tensor, points: Tensor) -> Tensor:
    """Return a mask's values at points, uint8 (h, w); ``IGNORE_INDEX`` outside the photo."""
    height, width = labels.shape
    y, x = points.long()  # a pixel reaches from its index to the next
    read = labels[y.clamp_(0, height - 1), x.clamp_(0, width - 1)]
    return read.masked_fill_(~_find_inside(points, labels.shape), IGNORE_INDEX)


def _find_inside(points: Tensor, shape: torch.Size) -> Tensor:
    """Return which points lie in a photo, bool (h, w); used for pixels and labels alike."""
    y, x = points
    height, width = shape[-2:]
    is_inside: Tensor = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return is_inside


def find_object_pixel(labels: Tensor) -> tuple[int, int] | None:
    """Return (y, x) of a random pixel of a random object class; None if there is no object."""
    flat = labels.flatten()
    counts = torch.bincount(flat, minlength=IGNORE_INDEX + 1)
    counts[[BACKGROUND_INDEX, IGNORE_INDEX]] = 0
    present = counts.nonzero().flatten()
    if not len(present):
        return None
    index = present[torch.randint(len(present), ())]
    places = (flat == index).nonzero().flatten()
    y, x = divmod(int(places[torch.randint(len(places), ())]), labels.shape[1])
    return y, x


def happens(probability: float) -> bool:
    """Return True with a probability; no random number is drawn for 0."""
    return probability > 0.0 and bool(torch.rand(()) < probability)


def draw(low: float, high: float) -> float:
    """Return a uniform random number between two bounds."""
    return low + (high - low) * float(torch.rand(()))


def _place_around(anchor: tuple[int, int], box: Box, photo_hw: tuple[int, int]) -> Box:
    """Return a box of the same size at a random place that contains a pixel."""
    sides = box[2:]
    corner = []
    for pixel, side, limit in zip(anchor, sides, photo_hw, strict=True):
        low, high = max(0, pixel - side + 1), min(pixel, limit - side)
        corner.append(int(torch.randint(low, high + 1, ())))
    return corner[0], corner[1], *sides


def _find_centers(side_px: int) -> Tensor:
    """Return the centres of a row's pixels, float32 (side,), as shares of the side."""
    return (torch.arange(side_px) + 0.5) / side_px


def _stretch_cells(side_px: int) -> Tensor:
    """Return the centres of a row's pixels after stretching the cells of a mesh."""
    widths = 1.0 + GRID_STRETCH * (2.0 * torch.rand(GRID_CELLS) - 1.0)
    edges = torch.cat((torch.zeros(1), torch.cumsum(widths, 0) / widths.sum()))
    place = _find_centers(side_px) * GRID_CELLS
    cell = place.long()
    return edges[cell] + (place - cell) * (edges[cell + 1] - edges[cell])


def _build_spread(side_px: int) -> Tensor:
    """Return the matrix of bicubic interpolation from knots to pixels, float32 (side, knots).

    Applied along rows and columns it interpolates a plane at a twentieth of the usual cost.
    """
    knots = torch.eye(ELASTIC_KNOTS)[None, None]
    size = (side_px, ELASTIC_KNOTS)
    return interpolate(knots, size, mode="bicubic", align_corners=True)[0, 0]


def _turn_about(points: Tensor, pivot_yx: tuple[float, float], angle_deg: float) -> Tensor:
    """Return points, float32 (2, h, w), turned about a point (y, x)."""
    if not angle_deg:
        return points
    cosine, sine = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    y, x = points[0] - pivot_yx[0], points[1] - pivot_yx[1]
    return torch.stack((cosine * y + sine * x + pivot_yx[0], cosine * x - sine * y + pivot_yx[1]))
