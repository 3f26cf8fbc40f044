"""Simulated vendors: real HTTP servers whose *model name* selects the latency, the faults and the token counts.

They ship with the package: ``python -m simulator sim-alpha=9101`` runs one and any OpenAI client can use it. The request log
(``GET /__truth``; ``DELETE`` clears it) says what was sent, to whom, and which client disconnected when. It must not know
the gateway, its catalogue or credits; it knows the vendors' wire formats and how to break them, down to single bytes.

The language of model names is in ``grammar``, the definition of a token in ``tokens``, the faults in ``faults``.
A request with ``stream: true`` gets usage only when it asks for it by ``stream_options.include_usage``, as with OpenAI.
"""

from simulator.grammar import WORDS, GrammarError, Script, parse
from simulator.request_log import Entry, RequestLog
from simulator.tokens import pieces, prompt_tokens
from simulator.vendor import SimulatedVendor

__all__ = [
    "WORDS",
    "Entry",
    "GrammarError",
    "RequestLog",
    "Script",
    "SimulatedVendor",
    "parse",
    "pieces",
    "prompt_tokens",
]
