"""The most tokens that a vendor makes of a picture, by the formula of its model. Pure.

Vendors scale a large picture down and count patches or tiles of what is left, so one whose size is not known has a most as well. As
published, read 2026-11:

- Claude: one token for 28 x 28 pixels; at most 1,568 up to Claude 4.6, 4,784 from Opus 4.7 and Sonnet 5 on
  (platform.claude.com/docs/en/build-with-claude/vision); until then it was said to be pixels / 750, which is a little less.
- OpenAI, tiles: a base, and so much for each 512 x 512 after fitting into 2048 x 2048 and to a short side of 768. gpt-4o, 4.1 and
  4-turbo 85 + 170, gpt-5 70 + 140, o1 and o3 75 + 150; gpt-4o-mini 2,833 + 5,667, which are billed and fill no context.
- OpenAI, patches of 32 x 32: at most 1,536, from gpt-5.4 on 10,000; times 1.2, small models up to 2.46
  (developers.openai.com/api/docs/guides/images-vision).
- Gemini: 258 for each tile of a side of short side / 1.5, between 256 and 768 (ai.google.dev/gemini-api/docs/image-understanding);
  from Gemini 3 on 1,120, at ultra high resolution 2,240 (ai.google.dev/gemini-api/docs/media-resolution).
- Nova: 1,300 for 900 x 900, 2,600 for 1,300 x 1,300 (docs.aws.amazon.com/nova/latest/userguide/modalities-image.html).
- Pixtral and later: one for 16 x 16 within 1,024 x 1,024, and one for each row (docs.mistral.ai/capabilities/vision).
- Qwen: one for 28 x 28, 32 x 32 from Qwen3-VL on, at most 16,384 (alibabacloud.com/help/en/model-studio/vision).
- Grok: 256 for each of at most six tiles and an overview (docs.x.ai/docs/guides/image-understanding).
- Others, mostly open weights that anyone may serve: patches as Qwen's, or up to 14 tiles of 256 for small pictures as well.

It must not know: prices, credit, endpoints. A model is known by its slug, as vendors count by the model, whoever serves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from providers.media.picture_size import Size

Formula = Callable[[Size], int]

UNKNOWN = Size(1 << 20, 1 << 20)
"""A picture of which no size is known: larger than anything that is taken, so that every formula is at its most."""
WRAPPING = 16
"""Tokens around a picture: markers of its begin and end."""
_TILES_MAX = 14 * 256
_GEMINI_LONGEST = 3_072
"""A picture is scaled down to this side (ai.google.dev/gemini-api/docs/image-understanding)."""


def most(model: str, size: Size) -> int:
    """The most tokens that the model ``author/slug`` makes of a picture of this size (``UNKNOWN`` if it is not known)."""
    return formula(model)(size) + WRAPPING


def anywhere(size: Size) -> int:
    """The most tokens that any model makes of a picture of this size."""
    return max(made(size) for _, made in _FORMULAS) + WRAPPING


@lru_cache(maxsize=4096)
def formula(model: str) -> Formula:
    """The formula of a model."""
    return next(made for pattern, made in _FORMULAS if pattern.match(model))


def _patches(side: int, most: int, percent: int = 100, least: int = 0) -> Formula:
    def of(size: Size) -> int:
        count = -(-size.width // side) * -(-size.height // side)
        return max(-(-min(count, most) * percent // 100), least)

    return of


def _tiles(base: int, each: int) -> Formula:
    def of(size: Size) -> int:
        if size == UNKNOWN:
            return base + each * 8  # 768 x 2,048, the shape with the most tiles
        width, height = sorted(size)
        if height > 2048:
            width, height = -(-width * 2048 // height), 2048
        if width > 768:
            width, height = 768, -(-height * 768 // width)
        return base + each * -(-width // 512) * -(-height // 512)

    return of


def _largest(*formulas: Formula) -> Formula:
    return lambda size: max(made(size) for made in formulas)


def _gemini(size: Size) -> int:
    short, long = sorted(size)
    if long > _GEMINI_LONGEST:
        if size == UNKNOWN:
            return 24 * 258  # 3,072 x 384, the shape with the most tiles
        short, long = -(-short * _GEMINI_LONGEST // long), _GEMINI_LONGEST
    if long <= 384:
        return 258
    side = min(max(short * 2 // 3, 256), 768)
    return 258 * -(-short // side) * -(-long // side)


def _nova(size: Size) -> int:
    return min(max(size.width * size.height // 500, 1_300), 5_200)


def _rows(size: Size) -> int:
    return min((-(-size.width // 14) + 1) * (-(-size.height // 14) + 1), 65 * 64 + 64)


_OPENAI_SMALL = _patches(32, 1_536, 246)
_FORMULAS: tuple[tuple[re.Pattern[str], Formula], ...] = tuple(
    (re.compile(pattern), made)
    for pattern, made in (
        (r"anthropic/claude-(3|(opus|sonnet|haiku)-4(\.[1-6])?$)", _patches(28, 1_640)),
        (r"anthropic/", _patches(28, 4_784 + 64)),
        (r"openai/gpt-4o-mini", _tiles(2_833, 5_667)),
        (r"openai/(gpt-4o|gpt-4-|gpt-4\.1$|gpt-4\.5|o1|o3)", _tiles(85, 170)),
        (r"openai/(gpt-4\.1-(mini|nano)|gpt-5(\.1)?-(codex-)?(mini|nano)|o4-mini|codex-mini)", _OPENAI_SMALL),
        (r"openai/gpt-5(\.[1-3])?(-|$)", _largest(_tiles(85, 170), _patches(32, 1_536, 120))),
        (r"openai/", _largest(_tiles(85, 170), _patches(32, 10_000, 120), _OPENAI_SMALL)),
        (r"google/gemini-[12]", _gemini),
        (r"google/", _largest(_gemini, lambda size: 2_240)),
        (r"amazon/", _nova),
        (r"mistralai/", _rows),
        (r"qwen/", _patches(28, 16_384, least=256)),
        (r"x-ai/", lambda size: 7 * 257),
        (r"", _patches(28, 16_384, least=_TILES_MAX)),
    )
)
"""The first that fits the slug. Where a family is split, what is not known yet is with its dearest."""
