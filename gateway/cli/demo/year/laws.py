"""What the synthetic year follows besides its token targets, as tables: lengths, categories, countries, languages, apps, tools.

Figures with a source follow the report "State of AI" of December 2025 (13 months of one router's metadata). Where that report
prints no number, the figure is an assumption of ours and its comment says so.
"""

from __future__ import annotations

from typing import Final

PROMPT_MEAN: Final = "01-06:1500 11-24:6000"
COMPLETION_MEAN: Final = "01-06:150 11-24:400"
"""Mean tokens of all requests of a week."""
PROGRAMMING_PROMPT_FACTOR: Final = 3.5
"""Mean prompt of programming requests against the mean of all."""
PROMPT_SIGMA: Final = 0.95
COMPLETION_SIGMA: Final = 0.8
"""Of the logarithm; an assumption: with it a quarter of the late programming prompts is longer than 20,000 tokens."""

CATEGORIES: Final = (
    "programming", "roleplay", "technology", "marketing", "marketing/seo", "science", "translation", "legal", "finance",
    "health", "trivia", "academia",
)  # fmt: skip
PROGRAMMING_PERCENT: Final = "01-06:11 11-24:52"
"""Percent of a week's tokens."""
OSS_ROLEPLAY: Final = 0.52
"""Of the tokens of all open models."""
CHINESE_OSS: Final = ("01-06:20 11-24:33", 0.33, 0.39)
"""Of Chinese open models: percent of programming (an assumption); shares of roleplay, of programming and technology."""
OTHER_OSS: Final = ("01-06:4 11-24:7", 0.03)
"""Of other open models: percent of programming; share of technology (assumptions)."""
OTHER_OSS_ROLEPLAY_MAX: Final = 0.85
CLOSED_ROLEPLAY_PERCENT: Final = "05-26:70 11-24:42"
"""Percent of the roleplay tokens that closed models have; less where programming leaves no room for it."""
CLOSED_TECHNOLOGY: Final = 0.08
CLOSED_REST_MIN: Final = 0.04

PROFILES: Final[dict[str, tuple[float, float, float, float]]] = {
    "anthropic": (0.88, 0.02, 0.06, 0.04),
    "google": (0.22, 0.33, 0.10, 0.35),
    "x-ai": (0.85, 0.05, 0.05, 0.05),
    "openai": (0.03, 0.17, 0.20, 0.60),
    "closed": (0.02, 0.38, 0.10, 0.50),
    "deepseek": (0.10, 0.67, 0.05, 0.18),
    "qwen": (0.50, 0.15, 0.15, 0.20),
    "chinese_oss": (0.40, 0.20, 0.10, 0.30),
    "other_oss": (0.08, 0.70, 0.04, 0.18),
}
"""Group of models → programming, roleplay, technology, rest before they are fitted to the totals above. With them, and the prices,
Anthropic has more than 60 % of what is spent on programming up to the week of 10 November 2025 and less afterwards, as reported."""
PROFILE_CHANGED: Final = {
    "openai": ("2025-10-06", (0.12, 0.12, 0.29, 0.47)),
    "anthropic": ("2025-11-17", (0.25, 0.17, 0.32, 0.26)),
    "x-ai": ("2025-11-24", (0.60, 0.20, 0.10, 0.10)),
}
"""Group → from which week on it has another profile: OpenAI's part of programming rises, Anthropic's falls, xAI's models are given
away elsewhere."""
REST: Final[dict[str, tuple[float, ...]]] = {
    "": (0.12, 0.06, 0.22, 0.14, 0.05, 0.08, 0.08, 0.15, 0.10),
    "openai": (0.10, 0.05, 0.40, 0.08, 0.05, 0.09, 0.08, 0.08, 0.07),
    "google": (0.14, 0.08, 0.12, 0.24, 0.09, 0.05, 0.06, 0.14, 0.08),
    "deepseek": (0.10, 0.05, 0.12, 0.12, 0.03, 0.13, 0.07, 0.28, 0.10),
}
"""Group → shares of the nine categories after technology within the rest (assumptions)."""

TAGS: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "programming": (("development-tools", 0.264), ("scripting", 0.05), ("other", 0.686)),
    "roleplay": (("roleplaying-games", 0.60), ("writers-resources", 0.156), ("adult", 0.154), ("other", 0.09)),
    "translation": (("foreign-language-resources", 0.511), ("other", 0.489)),
    "science": (("machine-learning", 0.804), ("other", 0.196)),
    "health": (("nutrition", 0.24), ("mental-health", 0.23), ("conditions", 0.21), ("pharmacy", 0.16), ("other", 0.16)),
}
"""Category → share of each finer label; the other categories have none."""

COUNTRIES: Final[dict[str, dict[str, float]]] = {
    "asia": {"SG": 9.21, "CN": 6.01, "KR": 2.88, "JP": 1.77, "IN": 1.62, "HK": 1.45, "TW": 1.2, "TH": 1.15, "VN": 1.1,
             "ID": 0.9, "IL": 0.7, "AE": 0.62},
    "north_america": {"US": 46.3, "CA": 1.85, "MX": 0.15},
    "europe": {"DE": 7.4, "NL": 2.6, "GB": 2.45, "RU": 1.75, "FR": 1.6, "PL": 1.05, "ES": 1.0, "CH": 0.85, "SE": 0.8, "IT": 0.7,
               "FI": 0.45, "CZ": 0.35},
    "south_america": {"BR": 0.75, "AR": 0.3, "CL": 0.16},
    "oceania": {"AU": 0.97, "NZ": 0.21},
    "africa": {"ZA": 0.25, "NG": 0.12, "EG": 0.09},
}  # fmt: skip
"""Continent → country of the account → percent of tokens. The report's tables of continents and of countries contradict each
other by 1.85 points in North America; these figures lie between them. Countries that it does not name are assumptions."""
ASIA_TOKENS_PERCENT: Final = "11-04*:23 11-24:30.5"
"""Asia's percent of a week's tokens: an assumption that gives 28.6 over the year."""
ASIA_SPEND_PERCENT: Final = "11-04*:13 11-24:31"
PREMIUM_USD: Final = 1.0
"""From these dollars a million tokens on a model is dear. Asia's shares of dear and of cheap tokens follow from the two above."""

LANGUAGES: Final = {
    "English": 82.87, "Chinese (Simplified)": 4.95, "Russian": 2.47, "Spanish": 1.43, "Thai": 1.03, "German": 1.6,
    "Korean": 1.3, "Japanese": 1.05, "French": 0.9, "Portuguese": 0.7, "Vietnamese": 0.6, "Polish": 0.5, "Other": 0.6,
}  # fmt: skip
"""Percent of tokens; the report has the first five, the rest of its 7.25 for others is divided by assumption."""
HOME_LANGUAGES: Final = {
    "CN": "Chinese (Simplified)", "HK": "Chinese (Simplified)", "TW": "Chinese (Simplified)", "SG": "Chinese (Simplified)",
    "RU": "Russian", "ES": "Spanish", "MX": "Spanish", "AR": "Spanish", "CL": "Spanish", "TH": "Thai", "DE": "German",
    "CH": "German", "KR": "Korean", "JP": "Japanese", "FR": "French", "BR": "Portuguese", "VN": "Vietnamese", "PL": "Polish",
}  # fmt: skip
HOME_LANGUAGE_FACTOR: Final = 60.0
"""How much likelier a language is at home than anywhere else, before it is fitted to ``LANGUAGES``."""

TOOL_PERCENT: Final = "01-06:2 12-29:15"
"""Percent of a week's tokens in requests that finish with a tool call; the report prints a curve without numbers."""
TOOL_WEIGHTS: Final[dict[str, str]] = {
    "openai/gpt-4o-mini": "06-30:12 07-28:4",
    "anthropic/claude-3.5-sonnet": "06-30:8 07-28:4",
    "anthropic/claude-3.7-sonnet": "06-30:12 07-28:4",
    "anthropic/claude-sonnet-4": "06-30:.5 07-28:3",
    "anthropic/claude-sonnet-4.5": "09-29:6",
    "google/gemini-2.5-flash": "06-30:.5 07-28:3",
    "x-ai/grok-code-fast-1": "08-25:6",
    "z-ai/glm-4.5": "07-28:30",
    "z-ai/glm-4.6": "09-29:10",
}
"""Slug → how much likelier the model calls tools than one that is not listed (assumptions after the report's order)."""
TOOL_MODEL_MAX: Final = 0.85
TOOLS_OFFERED_FACTOR: Final = 1.6
"""Requests that offer tools against those that finish with a call (an assumption)."""
MAY_ACCOUNT_WEEKS: Final = ("2025-05-05", "2025-05-12", "2025-05-19")
MAY_ACCOUNT_SHARE: Final = 0.064
"""One account's share of the tokens of these weeks, all of them tool calls: the bump in May of the report."""

APPS: Final[tuple[tuple[str, str, float, float], ...]] = (
    ("https://cli-agent.example", "programming", 0.30, 0.70),
    ("https://ide-extension.example", "programming", 0.26, 0.62),
    ("https://cloud-agent.example", "programming", 0.14, 0.55),
    ("https://app-builder.example", "programming", 0.10, 0.40),
    ("https://tavern.example", "roleplay", 0.34, 0.30),
    ("https://companions.example", "roleplay", 0.25, 0.35),
    ("https://story-engine.example", "roleplay", 0.16, 0.20),
    ("https://chat.example", "", 0.22, 0.10),
    ("https://writing-desk.example", "", 0.14, 0.05),
    ("https://translator.example", "", 0.10, 0.0),
    ("https://research.example", "", 0.12, 0.15),
    ("https://support-desk.example", "", 0.10, 0.25),
)
"""Made-up apps: address, the category they are for ("": every other), share of that category's requests, prompt cache hit rate.
What the shares leave comes from no known app and hits the cache with ``UNKNOWN_APP_CACHE``."""
UNKNOWN_APP_CACHE: Final = 0.08
CACHED_PART: Final = 0.9
"""Part of the prompt that is cached when the cache is hit."""

BYOK: Final = 0.08
CANCELLED: Final = 0.01
USAGE_MISSING: Final = 0.005
"""Requests whose usage the provider did not report; their tokens are the gateway's estimate."""
LENGTH_FINISH, FILTER_FINISH, ERROR_FINISH = 0.02, 0.001, 0.003
STREAMED: Final = 0.8
REASONED: Final = 0.85
"""Requests to reasoning models that reason; 20 to 70 % of their completion is reasoning (assumptions)."""
FEE_PERCENT: Final = 5
