"""Chapter 9: what the abstract leaves out."""

__all__ = ["CHECKS"]

CHECKS = {}
