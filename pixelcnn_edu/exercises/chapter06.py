"""Chapter 6: downsampling."""

__all__ = ["CHECKS"]

CHECKS = {}
