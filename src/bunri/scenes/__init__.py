"""Rendered sample photos of waste whose pixel truth is known.

Read in this order: canvas, solids, lettering, the objects, catalogue, grounds, render, dataset.
"""

from bunri.scenes.dataset import SampleDataset, write_sample_dataset
from bunri.scenes.render import Scene, SceneObject, render_scene

__all__ = ["SampleDataset", "Scene", "SceneObject", "render_scene", "write_sample_dataset"]
