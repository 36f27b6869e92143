"""Chapter 3: the original PixelCNN."""

__all__ = ["CHECKS"]

CHECKS = {}
