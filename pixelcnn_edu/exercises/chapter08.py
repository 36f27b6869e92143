"""Chapter 8: dropout."""

__all__ = ["CHECKS"]

CHECKS = {}
