"""bunri: what a photo of waste is made of, pixel by pixel.

The public names are those of :mod:`bunri.api`. They are imported on first use, so that
``import bunri`` is instant and loads neither numpy nor torch.
"""

from typing import TYPE_CHECKING, Any

from bunri.core.version import __version__

if TYPE_CHECKING:
    from bunri.api import (
        BunriError,
        Model,
        Prediction,
        check_submission,
        compare,
        draw_mask,
        evaluate,
        export,
        load_model,
        read_coco,
        read_config,
        train,
        write_submission,
    )

__all__ = [
    "BunriError",
    "Model",
    "Prediction",
    "__version__",
    "check_submission",
    "compare",
    "draw_mask",
    "evaluate",
    "export",
    "load_model",
    "read_coco",
    "read_config",
    "train",
    "write_submission",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (any public name)
    if name in __all__:
        from bunri import api

        return getattr(api, name)
    raise AttributeError(f"module 'bunri' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
