"""Images made by Gemini (``:generateContent`` with IMAGE) and by Imagen (``:predict``, ``Target.options["images"] == "predict"``).

Sources: google-genai 3.4 ``models.generate_images``, ``types.ImageConfig``; ai.google.dev/gemini-api/docs/image-generation (read
2026-11). Gemini makes one image a call and takes reference images; Imagen makes up to four (it refuses more itself) and takes
no references. There are no sizes in pixels: an image has a ratio and one of 1K, 2K, 4K.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final

from msgspec.structs import replace

from providers.base import Decoder, Dialect
from providers.errors import ProviderError, failed
from providers.gemini.dialect import post
from providers.gemini.errors import error_from_response
from providers.gemini.messages import Profile, media
from providers.gemini.response import completion, document
from providers.types import Completion, HttpRequest, HttpResponse, Json, Target, Usage

RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES: Final = {"512": "512", "0.5K": "512", "1K": "1K", "2K": "2K", "4K": "4K"}
_PIXELS = re.compile(r"(\d{2,5})x(\d{2,5})")
_OUTPUTS: Final = {"png": "image/png", "jpeg": "image/jpeg", "jpg": "image/jpeg", "webp": "image/webp"}


class GeminiImages(Dialect):
    """``POST {base_url}/models/{id}:generateContent`` or ``:predict``."""

    name: ClassVar[str] = "gemini"
    operation: ClassVar[str] = "images"
    inlines_media: ClassVar[bool] = True

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if not isinstance(body.get("prompt"), str) or not body["prompt"]:
            raise failed("unsupported", "prompt is not a text")
        ratio, size = _ratio_and_size(body)
        if target.options.get("images") == "predict":
            return post(target, "predict", self._imagen(body, ratio, size), self.name)
        if body.get("n") not in (None, 1):
            raise failed("unsupported", "n: Gemini makes one image a call")
        if body.get("output_format") not in (None, "png") or body.get("background") == "transparent":
            raise failed("unsupported", "output_format, background: Gemini chooses the format itself")
        config: Json = {"responseModalities": ["IMAGE"]}
        image = {name: value for name, value in (("aspectRatio", ratio), ("imageSize", size)) if value is not None}
        if image:
            config["imageConfig"] = image
        if isinstance(body.get("seed"), int):
            config["seed"] = body["seed"] & 0x7FFFFFFF
        parts = [*self._references(body), {"text": body["prompt"]}]
        sent: Json = {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}
        if target.options.get("safety_settings"):
            sent["safetySettings"] = target.options["safety_settings"]
        return post(target, "generateContent", sent, self.name)

    def _references(self, body: Json) -> list[Json]:
        profile = Profile(origin=self.name, takes_urls=not self.inlines_media, gemini_3=False)
        made = []
        for index, one in enumerate(body.get("input_references") or ()):
            inner = one.get("image_url") if isinstance(one, dict) else one
            url = inner.get("url") if isinstance(inner, dict) else inner
            made.append(media(url, profile, "image", f"input_references[{index}]"))
        return made

    def _imagen(self, body: Json, ratio: str | None, size: str | None) -> Json:
        if body.get("input_references"):
            raise failed("unsupported", "input_references: Imagen takes text only")
        form = body.get("output_format")
        if form is not None and form not in _OUTPUTS:
            raise failed("unsupported", f"output_format {str(form)[:20]!r} is unknown to Imagen")
        parameters: Json = {"sampleCount": body.get("n") or 1}
        if ratio is not None:
            parameters["aspectRatio"] = ratio
        if size is not None:
            parameters["sampleImageSize"] = size
        if isinstance(body.get("seed"), int):
            parameters |= {
                "seed": body["seed"] & 0x7FFFFFFF,
                "addWatermark": False,
            }  # Imagen refuses a seed with a watermark
        if form is not None:
            options: Json = {"mimeType": _OUTPUTS[form]}
            if isinstance(body.get("output_compression"), int) and form != "png":
                options["compressionQuality"] = body["output_compression"]
            parameters["outputOptions"] = options
        return {"instances": [{"prompt": body["prompt"]}], "parameters": parameters}

    def completion(self, raw: bytes) -> Completion:
        if not raw.strip():
            raise failed("empty", "a 200 without a body", status=200)
        body = document(raw)
        if "candidates" in body or "promptFeedback" in body:
            return self._images(completion(raw, self.name))
        predictions = body.get("predictions")
        data = []
        for one in predictions if isinstance(predictions, list) else ():
            if isinstance(one, dict) and isinstance(one.get("bytesBase64Encoded"), str):
                data.append(
                    {"b64_json": one["bytesBase64Encoded"], "media_type": str(one.get("mimeType", "image/png"))}
                )
            elif isinstance(one, dict) and one.get("raiFilteredReason") and not data:
                raise failed("content_policy", str(one["raiFilteredReason"])[:500], status=200)
        if not data:  # Imagen leaves out filtered images, down to an empty object
            raise failed("empty", "the answer has no images", status=200)
        return Completion({"created": 0, "data": data}, Usage(units={"image_output": len(data)}))

    def _images(self, answer: Completion) -> Completion:
        choice = answer.body["choices"][0]
        data = []
        for image in choice["message"].get("images", ()):
            head, _, encoded = image["image_url"]["url"].partition(";base64,")
            data.append({"b64_json": encoded, "media_type": head.removeprefix("data:")})
        if not data:
            text = choice["message"].get("refusal") or choice["message"].get("content") or "no image was made"
            kind = "content_policy" if choice["finish_reason"] == "content_filter" else "empty"
            raise failed(kind, text[:500], status=200, provider_code=choice["native_finish_reason"])
        usage = answer.usage
        return Completion({"created": 0, "data": data}, usage and replace(usage, units=None))

    def decoder(self) -> Decoder:
        raise failed("unsupported", "images are not streamed")

    def failure(self, response: HttpResponse) -> ProviderError:
        return error_from_response(response)


def _ratio_and_size(body: Json) -> tuple[str | None, str | None]:
    """Aspect ratio and size class. Raises ``ProviderError`` (unsupported) for a size that Google does not know."""
    ratio, size = body.get("aspect_ratio"), body.get("resolution")
    pixels = body.get("size")
    if isinstance(pixels, str) and pixels not in ("", "auto"):
        found = _PIXELS.fullmatch(pixels)
        if found is None:
            size = size or pixels
        else:
            wide, high = int(found[1]), int(found[2])
            ratio = ratio or _nearest(wide / max(high, 1))
            size = size or next((name for name, most in (("1K", 1536), ("2K", 3072)) if max(wide, high) <= most), "4K")
    if size is not None and str(size).upper() not in SIZES:
        raise failed("unsupported", f"size, resolution: {str(size)[:20]!r} is unknown to Google")
    return _text(ratio), SIZES[str(size).upper()] if size is not None else None


def _text(ratio: Any) -> str | None:
    if ratio is None or ratio == "auto":
        return None
    if not isinstance(ratio, str):
        raise failed("unsupported", "aspect_ratio is not a text")
    return ratio


def _nearest(ratio: float) -> str:
    def distance(name: str) -> float:
        wide, high = name.split(":")
        return abs(int(wide) / int(high) - ratio)

    return min(RATIOS, key=distance)
