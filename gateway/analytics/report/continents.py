"""Countries by continent, ISO 3166-1 codes by the regions of the United Nations (M49, 2025); Central America and the Caribbean are
counted with North America, the Middle East with Asia, Russia with Europe."""

from __future__ import annotations

_COUNTRIES = {
    "North America": """US CA MX BM GL PM AG AI AW BB BL BQ BS BZ CR CU CW DM DO GD GP GT HN HT JM KN KY LC MF MQ MS NI PA PR SV
        SX TC TT VC VG VI""",
    "South America": "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE",
    "Europe": """AD AL AT AX BA BE BG BY CH CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK MT NL
        NO PL PT RO RS RU SE SI SJ SK SM UA VA XK""",
    "Asia": """AE AF AM AZ BD BH BN BT CN CY GE HK ID IL IN IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS
        QA SA SG SY TH TJ TL TM TR TW UZ VN YE""",
    "Africa": """AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW IO KE KM LR LS LY MA MG ML MR MU MW MZ NA NE
        NG RE RW SC SD SH SL SN SO SS ST SZ TD TF TG TN TZ UG YT ZA ZM ZW""",
    "Oceania": "AS AU CC CK CX FJ FM GU HM KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
}
CONTINENT = {country: continent for continent, countries in _COUNTRIES.items() for country in countries.split()}
"""ISO code → continent; a code that is not here belongs to none."""
CONTINENTS = tuple(_COUNTRIES)
