"""``POST /images`` (OpenRouter), ``/images/generations`` and ``/images/edits`` (OpenAI): pictures as base64.

With ``stream: true`` the finished pictures come as events, which have the fields of both APIs (OpenRouter's ``created`` and
``usage``, OpenAI's ``created_at``, ``input_tokens`` ...). There are no partial pictures: no vendor is required to send any.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from gateway.api.inference import multipart, response_fields
from gateway.api.inference import operations_schema as schema
from gateway.api.inference.json_surface import Json, JsonSurface, completion_of
from gateway.errors import BadRequest
from gateway.pipeline.generation import Generation
from gateway.server import request_reader, sse
from providers.media import base64_text

_encode = msgspec.json.Encoder().encode
_NUMBERS = ("n", "output_compression", "seed")


class Images(JsonSurface):
    name: ClassVar[str] = "images"
    path: ClassVar[str] = "/images"
    summary: ClassVar[str] = "Generate images"
    operation: ClassVar[str] = "images"
    request_type: ClassVar[Any] = schema.ImagesRequest

    def accept(self, original: Json) -> Json:
        schema.check_images(original)
        return schema.inner(original, "response_format", "partial_images")

    def answer(self, generation: Generation) -> Json:
        identity, body = response_fields.identity(generation), completion_of(generation).body
        answer: Json = {
            "id": identity["id"],
            "created": identity["created"],
            "model": identity["model"],
            "provider": identity["provider"],
            "data": body["data"],
            "usage": usage_view(generation),
        }
        answer |= {name: body[name] for name in ("background", "output_format", "quality", "size") if name in body}
        if generation.request.explain:
            answer["openrouter_metadata"] = response_fields.explain(generation)
        return answer

    def reply(self, generation: Generation) -> tuple[bytes, bytes]:
        if not generation.request.original.get("stream"):
            return super().reply(generation)
        answer = self.answer(generation)
        frames = []
        for picture in answer["data"]:
            event: Json = {
                "type": "image_generation.completed",
                "b64_json": picture["b64_json"],
                "created": answer["created"],
                "created_at": answer["created"],
                **{name: answer.get(name, "auto") for name in ("background", "quality", "size")},
                "output_format": answer.get("output_format") or _format(picture),
            }
            if "media_type" in picture:
                event["media_type"] = picture["media_type"]
            if picture is answer["data"][-1]:  # once: a client may add them up
                event["usage"] = answer["usage"]
            frames.append(b"event: image_generation.completed\ndata: " + _encode(event) + b"\n\n")
        return b"".join(frames) + sse.DONE, b"text/event-stream; charset=utf-8"


class ImageGenerations(Images):
    """The same under OpenAI's path."""

    name: ClassVar[str] = "image_generations"
    path: ClassVar[str] = "/images/generations"
    summary: ClassVar[str] = "Generate images (OpenAI's path)"


class ImageEdits(Images):
    """OpenAI's form with files becomes an image request with references."""

    name: ClassVar[str] = "image_edits"
    path: ClassVar[str] = "/images/edits"
    summary: ClassVar[str] = "Generate images from images (multipart, OpenAI's path)"

    def parse(self, raw: request_reader.Body, headers: dict[bytes, bytes], *, on_loop: bool) -> Json:
        content_type = headers.get(b"content-type", b"")
        if not content_type.lower().startswith(b"multipart/form-data"):
            return super().parse(raw, headers, on_loop=on_loop)
        body: Json = {}
        references: list[Json] = []
        for part in multipart.parse(bytes(raw), content_type):
            if part.name in ("image", "image[]"):
                references.append(_reference(part))
            elif part.name == "mask":
                raise BadRequest(
                    "mask: no provider of this gateway accepts a mask; describe the change in the prompt.", field="mask"
                )
            elif part.name in body:
                raise BadRequest(f"{part.name}: given twice; send it once.", field=part.name)
            elif part.name == "stream":
                body["stream"] = part.text.lower() == "true"
            elif part.name == "provider":
                max_depth = self.services.settings.max_json_depth
                body["provider"] = request_reader.form_json("provider", part.content, max_depth)
            else:
                body[part.name] = _value(part)
        if not references:
            raise BadRequest("image: is missing; send at least one picture as a file part.", field="image")
        body["input_references"] = references
        return body


def _reference(part: multipart.Part) -> Json:
    media_type = part.content_type if part.content_type.startswith("image/") else "image/png"
    data = base64_text.encoded(part.content)
    return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}


def _value(part: multipart.Part) -> Any:
    text = part.text
    if part.name in _NUMBERS and text.lstrip("-").isdecimal() and len(text) < 20:
        return int(text)
    return text


def _format(picture: Json) -> str:
    media_type = str(picture.get("media_type", "image/png"))
    return media_type.removeprefix("image/").partition("+")[0]


def usage_view(generation: Generation) -> Json:
    """OpenRouter's usage, and the same numbers under OpenAI's names for pictures."""
    usage, view = generation.settlement.usage, response_fields.usage_view(generation)
    view["completion_tokens_details"]["image_tokens"] = usage.image_completion
    view["input_tokens"], view["output_tokens"] = view["prompt_tokens"], view["completion_tokens"]
    view["input_tokens_details"] = {
        "text_tokens": usage.prompt_total - usage.image_prompt,
        "image_tokens": usage.image_prompt,
    }
    view["output_tokens_details"] = {
        "text_tokens": usage.completion_total - usage.image_completion,
        "image_tokens": usage.image_completion,
    }
    return view
