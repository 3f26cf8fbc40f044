"""OpenAI's other operations as Azure offers them: the same bodies behind Azure's paths and ways of being let in."""

from __future__ import annotations

from typing import ClassVar

from providers.azure import AzureWay
from providers.openai_audio import Speech, Transcription
from providers.openai_images import Images
from providers.openai_operations import Embeddings


class AzureEmbeddings(AzureWay, Embeddings):
    name: ClassVar[str] = "azure"


class AzureImages(AzureWay, Images):
    name: ClassVar[str] = "azure"


class AzureSpeech(AzureWay, Speech):
    name: ClassVar[str] = "azure"


class AzureTranscription(AzureWay, Transcription):
    name: ClassVar[str] = "azure"
