"""Tokenway: an OpenAI-compatible LLM routing gateway. Start reading at ``pipeline/pipeline.py``."""

__version__ = "0.1.0"
