"""OpenAI's other operations as Azure offers them: the same bodies behind Azure's paths and ways of being let in."""

from __future__ import annotations

from typing import ClassVar

from providers.azure.dialect import AzureWay
from providers.openai.audio import Speech, Transcription
from providers.openai.images import Images
from providers.openai.operations import Embeddings


class AzureEmbeddings(AzureWay, Embeddings):
    name: ClassVar[str] = "azure"


class AzureImages(AzureWay, Images):
    name: ClassVar[str] = "azure"


class AzureSpeech(AzureWay, Speech):
    name: ClassVar[str] = "azure"


class AzureTranscription(AzureWay, Transcription):
    name: ClassVar[str] = "azure"
