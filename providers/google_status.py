"""Which of Google's quotas a 429 is about: one minute's or one day's, of one model or of the whole project. Pure.

Every 429 of AI Studio says "You exceeded your current quota, please check your plan and billing details" (github.com/
google-gemini/gemini-cli/issues/10925); only the names of the violated quotas tell them apart:
``GenerateRequestsPerDayPerProjectPerModel-FreeTier``, ``GenerateContentInputTokensPerModelPerMinute``, Vertex's
``online_prediction_requests_per_base_model`` (google.rpc.QuotaFailure in ``error.details``; read 2026-11). Gemini, Vertex and
Google's OpenAI-compatible endpoint share this object.
"""

from __future__ import annotations

from typing import Any, Final

MINUTE, MODEL, PROJECT = "quota_of_a_minute", "quota_of_the_model", "quota_of_the_project"
MONEY = "insufficient_quota"
"""The codes that ``failures.yaml`` knows: full for a minute; used up for this model; for all of the project's; no money left."""
_SPENT: Final = ("credits are depleted", "spending cap", "spend cap")
_DAILY: Final = ("perday", "per day", "limit: 0")
"""``limit: 0``: the project's tier has no such model at all."""
_OF_MODELS: Final = ("permodel", "per_base_model", "per_model")


def quota_code(error: Any) -> str | None:
    """The code of a 429's error object; None when it does not look like Google's."""
    if not isinstance(error, dict) or "status" not in error:
        return None
    message = str(error.get("message")).lower()
    if any(part in message for part in _SPENT):
        return MONEY
    names = [name.lower() for name in _violated(error)]
    of_model = all(any(part in name for part in _OF_MODELS) for name in names)
    daily = any(part in text for text in (*names, message) for part in _DAILY)
    if names and not of_model:
        return PROJECT
    return MODEL if daily else MINUTE


def _violated(error: dict[str, Any]) -> list[str]:
    """A name for each violated quota; one that is counted for each model says so in its dimensions, too."""
    details = error.get("details")
    found = []
    for detail in details if isinstance(details, list) else ():
        violations = detail.get("violations") if isinstance(detail, dict) else None
        for each in violations if isinstance(violations, list) else ():
            if isinstance(each, dict):
                dimensions = each.get("quotaDimensions")
                by_model = "permodel" if isinstance(dimensions, dict) and "model" in dimensions else ""
                found.append(f"{each.get('quotaId', '')} {each.get('quotaMetric', '')} {by_model}")
    return found
