"""OpenAI's transcription at Azure's URLs and with Azure's authentication."""

from __future__ import annotations

from providers.azure.dialect import AzureOperation
from providers.openai.transcription import Transcription


class AzureTranscription(AzureOperation, Transcription):
    """See ``AzureOperation``; its options are those of ``openai.transcription``."""
