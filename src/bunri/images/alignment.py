"""Alignment of one small grey picture with another, and a measure of their agreement.

All pictures are float32 (48, 48), values 0 to 255: a photo squeezed into a square. A *frame* is
float64 (4,): top, bottom, left and right of the part that is cut out, as shares of the sides.
"""

import numpy as np
import numpy.typing as npt

from bunri.core.contracts import FloatArray

PICTURE_PX = 48
_MAX_OUTSIDE, _MAX_MARGIN = 0.02, 0.16  # limits of an alignment, as shares of a side
_FRAME_LOW = np.array([-_MAX_OUTSIDE, 1 - _MAX_MARGIN] * 2)
_FRAME_HIGH = np.array([_MAX_MARGIN, 1 + _MAX_OUTSIDE] * 2)
_MAX_STEPS, _TRIAL_STEPS = 6, 2
_MIN_TRIAL = 0.5  # copies agree by 0.94 after one step; pairs below this after two are given up
_MAX_MOVE, _SETTLED = 0.03, 3e-4
_GAIN_LOW, _GAIN_HIGH = 0.3, 3.0
_WINDOW_PX = 11
_FAINT_SHARE, _FAINT_LEVELS = 0.2, 1.0


def align_picture(
    picture: FloatArray, wanted: FloatArray, frame: npt.NDArray[np.float64]
) -> tuple[FloatArray, npt.NDArray[np.float64], float]:
    """Fit the frame and the tone of one picture to another.

    Gauss-Newton steps on the squared difference (Lucas & Kanade 1981). The model is
    ``clip(gain * cut + offset, 0, 255)``: brightening clips highlights, and pixels that are
    clipped must not pull at the frame.

    Returns:
        The fitted picture, its frame, its gain.
    """
    cut = cut_picture(picture, frame)
    centred = cut - cut.mean()
    gain = float((centred * wanted).sum()) / max(float((centred**2).sum()), 1e-6)
    gain = min(max(gain, _GAIN_LOW), _GAIN_HIGH)
    offset = float(wanted.mean()) - gain * float(cut.mean())
    for step in range(_MAX_STEPS):
        bare = gain * cut + offset
        slopes = _differentiate(cut, gain, frame)
        slopes = slopes * ((bare > 0) & (bare < 255)).reshape(-1)
        normal = slopes @ slopes.T
        normal[np.diag_indices(6)] += 0.001 * normal.diagonal() + 1e-3
        change = np.linalg.solve(normal, slopes @ (wanted - bare).reshape(-1))
        move = np.clip(change[:4], -_MAX_MOVE, _MAX_MOVE)
        frame = np.clip(frame + move, _FRAME_LOW, _FRAME_HIGH)
        gain = min(max(gain + float(change[4]), _GAIN_LOW), _GAIN_HIGH)
        offset += float(change[5])
        cut = cut_picture(picture, frame)
        drawn = np.clip(gain * cut + offset, 0, 255)
        is_hopeless = step + 1 == _TRIAL_STEPS and measure_agreement(drawn, wanted) < _MIN_TRIAL
        if is_hopeless or np.abs(move).max() < _SETTLED:
            break
    return drawn, frame, gain


def _differentiate(cut: FloatArray, gain: float, frame: npt.NDArray[np.float64]) -> FloatArray:
    """Return the derivatives of the fitted picture by frame, gain and offset, (6, 48 * 48)."""
    place = (np.arange(PICTURE_PX, dtype=np.float32) + 0.5) / PICTURE_PX
    top, bottom, left, right = frame.tolist()
    down, across = np.gradient(cut)
    down = down * (gain * PICTURE_PX / (bottom - top))
    across = across * (gain * PICTURE_PX / (right - left))
    of_frame = (down * (1 - place)[:, None], down * place[:, None], across * (1 - place))
    of_all = (*of_frame, across * place, cut, np.ones_like(cut))
    return np.stack(of_all, dtype=np.float32).reshape(6, -1)


def cut_picture(picture: FloatArray, frame: npt.NDArray[np.float64]) -> FloatArray:
    """Return the part of (n, n) inside a frame, resampled to (n, n); edges are repeated."""
    size = len(picture)
    down = _make_sampler(frame[0], frame[1], size)
    right = _make_sampler(frame[2], frame[3], size)
    cut: FloatArray = np.matmul(down @ picture, right.T, dtype=np.float32)
    return cut


def _make_sampler(start: float, end: float, size: int) -> FloatArray:
    """Return the matrix (size, size) that interpolates at ``size`` places between two shares."""
    places = (start + (end - start) * (np.arange(size) + 0.5) / size) * size - 0.5
    places = np.clip(places, 0, size - 1)
    before = np.minimum(places.astype(np.intp), size - 2)
    rows = np.arange(size)
    weights = np.zeros((size, size), np.float32)
    weights[rows, before] = 1 - (places - before)
    weights[rows, before + 1] = places - before
    return weights


def measure_agreement(first: FloatArray, second: FloatArray) -> float:
    """Return the least correlation, -1 to 1, of the slopes of two pictures in 5 x 5 windows.

    The windows overlap a little; one strong edge in common is thus not enough. Slopes that are
    faint, against the whole picture or absolutely, count little, since encoding changes them.
    Shading, which blank walls have in common, does not count.
    """
    x, y = _find_slopes(first), _find_slopes(second)
    energies = np.stack([x**2, y**2, x * y]).sum(axis=1)  # (3, 47, 47)
    faint = _FAINT_SHARE * float(energies[:2].mean()) + _FAINT_LEVELS**2
    own, other, common = _WINDOWS @ energies @ _WINDOWS.T + faint
    return min(1.0, float((common / np.sqrt(own * other)).min()))


def measure_structure(picture: FloatArray) -> float:
    """Return the root mean square of a picture without its shading."""
    return float(_remove_shading(picture).std())


def _find_slopes(picture: FloatArray) -> FloatArray:
    """Return the slopes of (48, 48) downwards and to the right, (2, 47, 47)."""
    smooth = _BLUR @ _remove_shading(picture) @ _BLUR.T
    return np.stack([np.diff(smooth, axis=0)[:, :-1], np.diff(smooth, axis=1)[:-1]])


def _remove_shading(picture: FloatArray) -> FloatArray:
    """Return a picture less the quadratic surface that fits it best."""
    flat = picture.reshape(-1)
    rest: FloatArray = (flat - _SHADES @ (_SHADES.T @ flat)).reshape(picture.shape)
    return rest


def _make_shades() -> FloatArray:
    """Return (48 * 48, 6): an orthonormal basis of the quadratic surfaces."""
    y, x = np.mgrid[-1 : 1 : PICTURE_PX * 1j, -1 : 1 : PICTURE_PX * 1j]
    surfaces = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    return np.linalg.qr(surfaces.reshape(-1, 6))[0].astype(np.float32)


def _make_blur() -> FloatArray:
    """Return (48, 48): two passes of the weights 1, 2, 1; edges are repeated."""
    padded = np.pad(np.eye(PICTURE_PX), ((1, 1), (0, 0)), mode="edge")
    once = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (once @ once).astype(np.float32)


def _make_windows() -> FloatArray:
    """Return (5, 47): rows that average 11 of 47 values."""
    starts = np.arange(0, PICTURE_PX - _WINDOW_PX, _WINDOW_PX - 2)[:, None]
    places = np.arange(PICTURE_PX - 1)
    inside = (places >= starts) & (places < starts + _WINDOW_PX)
    return (inside / _WINDOW_PX).astype(np.float32)


_SHADES = _make_shades()
_BLUR = _make_blur()
_WINDOWS = _make_windows()
