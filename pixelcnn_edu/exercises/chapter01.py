"""Chapter 1: images as sequences."""

__all__ = ["CHECKS"]

CHECKS = {}
