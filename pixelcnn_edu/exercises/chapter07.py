"""Chapter 7: short-cuts."""

__all__ = ["CHECKS"]

CHECKS = {}
