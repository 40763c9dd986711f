"""Photos made worse on purpose: 15 corruptions that a camera over waste may meet.

Owns what each of them does to pixels, and how strongly. Knows nothing of models, scores or files.

They are those of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations" (2019), where their kind is met above a sorting belt, in the street
or in a classroom; their snow, frost, elastic and glass distortions gave way to darkness, glare and
dirt on the lens. All is written anew, and blurs lie symmetric about each pixel, so that masks
drawn for the clean photo stay true.
"""

from bunri.corruptions.registry import (
    CORRUPTIONS,
    DEFAULT_SEVERITY,
    NAMES,
    SEVERITIES,
    Corruption,
    check_severity,
    corrupt,
)

__all__ = [
    "CORRUPTIONS",
    "DEFAULT_SEVERITY",
    "NAMES",
    "SEVERITIES",
    "Corruption",
    "check_severity",
    "corrupt",
]
