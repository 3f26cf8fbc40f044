"""OpenAI's images at Azure's URLs and with Azure's authentication."""

from __future__ import annotations

from providers.azure.dialect import AzureOperation
from providers.openai.images import Images


class AzureImages(AzureOperation, Images):
    """See ``AzureOperation``; its options are those of ``openai.images``."""
