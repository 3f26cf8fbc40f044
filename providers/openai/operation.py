"""What all operations beside chat share at OpenAI-compatible vendors: one JSON object or form in, one answer out.

``Target.options`` of every operation, where ``<op>`` is ``embeddings``, ``rerank``, ``images``, ``speech`` or
``transcription`` (quirks of a vendor as data, all optional; options of chat do not apply here):

- ``<op>_path``: instead of the usual path.
- ``<op>_drop``: list of top-level fields that this vendor refuses.
- ``<op>_rename``: mapping of top-level field names, ours to theirs (Voyage: ``rerank_rename: {top_n: top_k}``).
- ``<op>_extra``: mapping merged over the body (``null`` removes a field).
- ``api_key_header``: as of chat.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, NoReturn

from providers.base import Dialect
from providers.document import legible, read_answer
from providers.errors import ProviderError, failed
from providers.openai.errors import refusal
from providers.openai.request import GATEWAY_FIELDS, key_header, rename_and_extend
from providers.transport.client import Upstream
from providers.transport.json_body import json_body
from providers.types import SUCCESS, Call, Clocks, Completion, HttpRequest, HttpResponse, Json, Target


class Operation(Dialect):
    """``POST {base_url}{path}``; nothing is streamed. Failures are read as those of chat."""

    name: ClassVar[str] = "openai"
    path: ClassVar[str]

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise failed("unsupported", f"stream: this provider does not stream {self.operation}")
        content = json_body(self._vendor_body(target, body))
        return self._post(target, self.path, content, "application/json")

    def decoder(self) -> NoReturn:
        raise failed("malformed", f"this provider does not stream {self.operation}")

    def failure(self, response: HttpResponse) -> ProviderError:
        return refusal(response)

    def _vendor_body(self, target: Target, body: Json) -> Json:
        """The body with the vendor's name of the model, without the gateway's own fields, and with the vendor's quirks."""
        options, op = target.options, self.operation
        sent = {name: value for name, value in body.items() if name not in GATEWAY_FIELDS and name != "stream"}
        sent["model"] = target.upstream_id
        for name in options.get(f"{op}_drop", ()):
            sent.pop(name, None)
        rename_and_extend(options.get(f"{op}_rename", {}), options.get(f"{op}_extra", {}), sent)
        return sent

    def _post(self, target: Target, path: str, content: bytes, content_type: str) -> HttpRequest:
        """A POST of ``content`` to ``path``, or to the path of the options."""
        headers = [
            ("content-type", content_type),
            ("accept", "*/*" if self.operation == "speech" else "application/json"),
            *key_header(target),
        ]
        url = target.base_url + target.options.get(f"{self.operation}_path", path)
        return HttpRequest(url, (*headers, *target.headers), content)


class FileOperation(Operation):
    """An operation whose requests carry files of megabytes: they are made in a thread, and others are served meanwhile."""

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        if self.authorizes and not target.authorized:
            target = await self.authorize(upstream, target, clocks)
        request = await asyncio.to_thread(self._http_request, target, call, stream=False)
        response = await upstream.send(request, clocks)
        if response.status not in SUCCESS:
            raise self.failure(legible(response))
        return self.tools.completion(await read_answer(self.read, response, self.operation), call)
