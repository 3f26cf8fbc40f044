"""Tokenway: an OpenAI-compatible LLM routing gateway. Start reading at ``inference.py``, ``dispatch.py``, ``generation.py``."""

__version__ = "0.1.0"
