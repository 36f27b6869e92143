"""Things to play with: each one class with two faces, live in a kernel and alive in the page without one."""

from pixelcnn_edu.widgets.bits_heat_map import BitsHeatMap
from pixelcnn_edu.widgets.ladder_explorer import LadderExplorer
from pixelcnn_edu.widgets.mixture_playground import MixturePlayground
from pixelcnn_edu.widgets.receptive_field import ReceptiveFieldExplorer
from pixelcnn_edu.widgets.sampling_theatre import SamplingTheatre

__all__ = ["BitsHeatMap", "LadderExplorer", "MixturePlayground", "ReceptiveFieldExplorer", "SamplingTheatre"]
