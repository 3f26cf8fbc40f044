"""OpenAI's Responses API, for models that need it or work better with it: ``POST {base_url}/responses``. Always stateless.

Nothing is stored at the vendor (``store: false``); what a later turn needs, above all the encrypted reasoning, is part of the
conversation, in ``reasoning_details``.

``Target.options`` (all optional): ``path`` (instead of ``/responses``), ``api_key_header``, ``drop_parameters``,
``rename_parameters``, ``extra_body`` as of the dialect ``openai``, applied to the finished body; and

- ``keep_parameters``: fields of chat that this vendor takes here too although OpenAI does not (``stop``, ``seed``, ``top_k``).
- ``min_output_tokens``: a smaller limit is refused instead of sent (OpenAI: 16).
- ``efforts``: the reasoning efforts that the model knows; another one becomes the nearest.
- ``reasoning_summary``: ``auto`` (default), ``concise``, ``detailed``, or ``null``: what is requested when the caller asks for
  reasoning and does not name a summary.
- ``encrypted_reasoning``: ``true`` requests it always, ``false`` never; default: when the caller asks for reasoning.
- ``reasoning_format``: a further format of reasoning details that this vendor takes back, such as ``xai-responses-v1``.
- ``plain_reasoning``: ``true`` for servers of open models, which encrypt nothing: reasoning goes back as text.
- ``user_field``: where the end user's id goes, ``user`` (default), ``safety_identifier`` or ``null``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from providers.base import Dialect
from providers.chat.messages import output_limit
from providers.chat.tool_rules import NAME_64, ToolRules
from providers.errors import ProviderError
from providers.openai.errors import refusal
from providers.openai.request import apply_options, json_post
from providers.responses.request import native_body, responses_body
from providers.responses.response import read_completion
from providers.responses.stream import Decoder
from providers.responses.tools import response_tool
from providers.types import Completion, HttpRequest, HttpResponse, InnerRequest, Json, NativeRequest, Target

_DROPPABLE: Final = ("temperature", "top_p")
"""Parameters that some models of these vendors refuse; for the rest a model that cannot use them has no objection."""


class Responses(Dialect):
    """One class serves all vendors; a subclass with another ``format`` is for a vendor whose reasoning OpenAI cannot take back."""

    name: ClassVar[str] = "responses"
    api_format: ClassVar[str | None] = "responses"
    tools: ClassVar[ToolRules] = ToolRules(NAME_64, unique=True)
    format: ClassVar[str] = "openai-responses-v1"
    """Of the reasoning details that answers carry: encrypted reasoning can be read by its maker alone."""

    def hosts(self, tool: Any, options: Mapping[str, Any]) -> bool:
        try:
            response_tool(tool, "tools")
        except ProviderError:
            return False
        return True

    def request(self, target: Target, body: InnerRequest, *, stream: bool) -> HttpRequest:
        formats = frozenset({self.format, target.options.get("reasoning_format", self.format)})
        return _post(
            target, responses_body(self.tools.fitted(body), target.options, formats), body.get("user"), stream=stream
        )

    def passthrough(self, target: Target, native: NativeRequest, body: InnerRequest, *, stream: bool) -> HttpRequest:
        sent = native_body(native.body, target.options)
        sent.pop("user", None)
        if "safety_identifier" in body:  # hashed there
            sent["safety_identifier"] = body["safety_identifier"]
        for name in _DROPPABLE:
            if name not in body:
                sent.pop(name, None)
        limit = output_limit(body)
        if limit is not None:
            sent["max_output_tokens"] = limit
        return _post(target, sent, body.get("user"), stream=stream)

    def completion(self, raw: bytes) -> Completion:
        return read_completion(raw, self.format)

    def decoder(self) -> Decoder:
        return Decoder(self.format)

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)


def _post(target: Target, sent: Json, user: Any, *, stream: bool) -> HttpRequest:
    """The request for ``sent``, which gets the model, the stream flag, the end user and the vendor's quirks, in place."""
    options = target.options
    sent["model"] = target.upstream_id
    if stream:
        sent["stream"] = True
    else:
        sent.pop("stream", None)
        sent.pop("stream_options", None)
    field = options.get("user_field", "user")
    if user is not None and field is not None:
        sent.setdefault(field, user)
    if options:
        apply_options(options, sent)
    return json_post(target, "/responses", sent, stream=stream)
