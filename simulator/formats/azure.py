"""OpenAI at Azure: ``/openai/deployments/{d}/chat/completions?api-version=`` and ``/openai/v1/chat/completions``.

learn.microsoft.com/azure/ai-services/openai/reference and /concepts/content-filter (2026-11): the deployment is the model, the
key is in ``api-key``, the first event of a stream has no choice but the filter's results about the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from simulator.bodies import error_body
from simulator.formats.chat import Chat
from simulator.formats.wire_format import Answer, Frame, Json, ParsedRequest, Refusal, Route, sse
from simulator.http import Request
from simulator.steps import encode

DEPLOYMENT: Final = re.compile(r"/openai/deployments/(?P<model>.+)/chat/completions")
SAFE: Final = {kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")}
CODES: Final = {
    401: "401",
    404: "DeploymentNotFound",
    429: "429",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


class Azure(Chat):
    """Either path."""

    name = "azure"

    def route(self, path: str) -> Route | None:
        """Of the v1 API the model is in the body."""
        if path == "/openai/v1/chat/completions":
            return Route(verb="v1")
        found = DEPLOYMENT.fullmatch(path)
        return None if found is None else Route(found["model"], verb="deployment")

    def credential(self, request: Request) -> str:
        """``api-key``, or a token of Entra ID."""
        return request.headers.get("api-key") or super().credential(request)

    def unauthorised(self) -> Refusal:
        """A wrong key."""
        text = "Access denied due to invalid subscription key or wrong API endpoint."
        return Refusal(401, text, code="401")

    def read_request(self, request: Request, route: Route) -> ParsedRequest:
        """A deployment's path needs its version of the API."""
        if route.verb == "deployment" and "api-version=" not in request.query:
            raise Refusal(404, "Resource not found", code="404")
        return super().read_request(request, route)

    def body(self, answer: Answer, sent: int | None = None) -> Json:
        """With the filter's results."""
        found = super().body(answer, sent)
        found["choices"][0]["content_filter_results"] = SAFE
        return found | {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}]}

    def opening(self, answer: Answer) -> Iterator[Frame]:
        """The content filter's event comes first; it has no model."""
        results = [{"prompt_index": 0, "content_filter_results": SAFE}]
        yield Frame(
            sse({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": results})
        )
        yield from super().opening(answer)

    def _chunk(self, answer: Answer, delta: Json, finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, "content_filter_results": {}}
        if delta.get("content"):
            choice["content_filter_results"] = SAFE
        return sse(self.frame(answer, "chat.completion.chunk") | {"choices": [choice]} | more)

    def envelope(self, status: int, message: str | None = None, **more: str | None) -> bytes:
        """OpenAI's envelope for errors of the model; a code and a message for errors of the platform."""
        code = more.get("code") or CODES.get(status)
        if message is not None and status == 400:
            return super().envelope(status, message, **more)
        text = message or {429: "Requests have exceeded the call rate limit of your current pricing tier."}.get(status)
        return encode({"error": {"code": code, "message": text}}) if text and code else error_body(status, code=code)
