"""Chapter 5: whole pixels."""

__all__ = ["CHECKS"]

CHECKS = {}
