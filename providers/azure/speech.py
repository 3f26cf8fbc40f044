"""OpenAI's speech at Azure's URLs and with Azure's authentication."""

from __future__ import annotations

from providers.azure.dialect import AzureOperation
from providers.openai.speech import Speech


class AzureSpeech(AzureOperation, Speech):
    """See ``AzureOperation``; its options are those of ``openai.speech``."""
