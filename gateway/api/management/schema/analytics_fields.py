"""Field types of what an organisation lets analytics see. Error messages name the field, which is one of several in an object."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from gateway.analytics.classify import taxonomy, vectors

AUTO = "auto"
COUNTRIES = frozenset(
    re.findall(
        "[A-Z]{2}",
        """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG
    CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL
    GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA
    LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP
    NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
    """,
    )
)
"""ISO 3166-1 alpha-2, 2026."""


def _categories(value: Any) -> Any:
    if value not in ("off", "declared", "local"):
        raise ValueError("categories must be off, declared or local")
    if value == "local":
        try:
            vectors.require()
        except vectors.NotInstalled as error:
            raise ValueError(f"categories cannot be local here: {error}") from None
    return value


def _sample(value: Any) -> Any:
    if value == AUTO:
        return value
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not number or math.isnan(value) or not 0 <= value <= 1:
        raise ValueError("sample must be auto, or a chance from 0 to 1")
    return Decimal(str(value))


def _country(value: Any) -> Any:
    if value is not None and not (isinstance(value, str) and value in COUNTRIES):
        raise ValueError("country must be an ISO 3166 code of two capital letters, such as DE or GB")
    return value


def _category(value: Any) -> Any:
    known = taxonomy.shipped().category_names
    if value is not None and value not in known:
        raise ValueError(f"category must be one of {', '.join(known)}")
    return value


Categories = Annotated[Literal["off", "declared", "local"], BeforeValidator(_categories)]
Sample = Annotated[
    Decimal | Literal["auto"],
    BeforeValidator(_sample),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": "auto"}]}),
]
Country = Annotated[str, BeforeValidator(_country), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{2}$"})]
Category = Annotated[str, BeforeValidator(_category)]
