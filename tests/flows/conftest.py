"""Fixtures of the flows that a single file does not own."""

from tests.support.management import managed

__all__ = ["managed"]
