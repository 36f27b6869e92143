"""Chapter 4: the discretized logistic mixture."""

__all__ = ["CHECKS"]

CHECKS = {}
