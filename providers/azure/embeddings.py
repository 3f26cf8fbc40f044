"""OpenAI's embeddings at Azure's URLs and with Azure's authentication."""

from __future__ import annotations

from providers.azure.dialect import AzureOperation
from providers.openai.embeddings import Embeddings


class AzureEmbeddings(AzureOperation, Embeddings):
    """See ``AzureOperation``; its options are those of ``openai.embeddings``."""
