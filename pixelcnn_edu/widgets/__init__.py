"""Things to play with: each one class with two faces, live in a kernel and alive in the page without one."""

from pixelcnn_edu.widgets.receptive_field import ReceptiveFieldExplorer

__all__ = ["ReceptiveFieldExplorer"]
