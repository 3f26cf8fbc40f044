"""What OpenAI-compatible vendors do beside chat: what all operations share, embeddings and rerank.

``Target.options`` of every operation, where ``<op>`` is ``embeddings``, ``rerank``, ``images``, ``speech`` or
``transcription`` (quirks of a vendor as data, all optional; options of chat do not apply here):

- ``<op>_path``: instead of the usual path.
- ``<op>_drop``: list of top-level fields that this vendor refuses.
- ``<op>_rename``: mapping of top-level field names, ours to theirs (Voyage: ``rerank_rename: {top_n: top_k}``).
- ``<op>_extra``: mapping merged over the body (``null`` removes a field).
- ``api_key_header``: as of chat.

Embeddings: ``embeddings_base64: true`` when the vendor knows ``encoding_format: base64`` (OpenAI does, many others refuse or
ignore it; the caller gets the format it asked for in any case), ``embeddings_input_type: true`` when it knows
``input_type``, ``embeddings_parts: true`` when it takes multimodal ``input``. Rerank: ``rerank_objects: true`` when documents
may be objects (else they go out as plain text, and pictures are refused).

Sources: ``openai`` 3.54 (types of requests and answers), api.jina.ai/redoc, docs.voyageai.com/reference/reranker-api,
docs.together.ai/reference/rerank, docs.siliconflow.cn (``meta.tokens``, ``meta.billed_units``), novita.ai/docs; 2026-11.
"""

from __future__ import annotations

import binascii
import math
from array import array
from collections.abc import Sequence
from typing import Any, ClassVar, NoReturn

import msgspec

from providers.errors import ProviderError, excerpt, failed
from providers.openai.dialect import OURS, OpenAI
from providers.openai.response import vendor_error
from providers.transport.client import Upstream
from providers.transport.sse import decode
from providers.types import Call, Clocks, Completion, HttpRequest, Json, Target, Usage
from providers.usage import Counts, normalise


class Operation(OpenAI):
    """``POST {base_url}{path}``, one JSON object in, one answer out; nothing is streamed. Failures are read as of chat."""

    path: ClassVar[str]

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        if stream:
            raise failed("unsupported", f"stream: {self.operation} is not streamed by this kind of provider")
        content = msgspec.json.encode(self._spelled(target, body))
        return self._post(target, self.path, content, "application/json")

    def decoder(self) -> NoReturn:
        raise failed("malformed", f"{self.operation} is not streamed by this kind of provider")

    def _spelled(self, target: Target, body: Json) -> Json:
        """The body with the vendor's name of the model, without what is ours, and with the vendor's quirks."""
        options, op = target.options, self.operation
        sent = {name: value for name, value in body.items() if name not in OURS and name != "stream"}
        sent["model"] = target.upstream_id
        for name in options.get(f"{op}_drop", ()):
            sent.pop(name, None)
        for ours, theirs in options.get(f"{op}_rename", {}).items():
            if ours in sent:
                sent[theirs] = sent.pop(ours)
        for name, value in options.get(f"{op}_extra", {}).items():
            if value is None:
                sent.pop(name, None)
            else:
                sent[name] = value
        return sent

    def _post(self, target: Target, path: str, content: bytes, content_type: str) -> HttpRequest:
        headers = [
            ("content-type", content_type),
            ("accept", "*/*" if self.operation == "speech" else "application/json"),
        ]
        if target.api_key is not None:
            own = target.options.get("api_key_header")
            headers.append((own, target.api_key) if own else ("authorization", f"Bearer {target.api_key}"))
        url = target.base_url + target.options.get(f"{self.operation}_path", path)
        return HttpRequest(url, (*headers, *target.headers), content)


def opened(raw: bytes) -> Json:
    """The JSON object of a 200. Raises ``ProviderError``: empty, malformed, or the error that it carries."""
    if not raw.strip():
        raise failed("empty", "a 200 without a body", status=200)
    body = decode(raw)
    error = vendor_error(body)
    if error is not None:
        raise error
    return body


def malformed(what: str, raw: bytes) -> ProviderError:
    """A 200 that says nothing of use."""
    return failed("malformed", what, status=200, raw=excerpt(raw))


# -- embeddings --------------------------------------------------------------------------------------------------------


class _Datum(msgspec.Struct):
    embedding: list[float] | str
    index: Any = None


class _Vectors(msgspec.Struct):
    """Typed, so that thousands of numbers are checked while they are read."""

    data: list[_Datum]
    model: Any = None
    usage: Any = None
    id: Any = None


_read_vectors = msgspec.json.Decoder(_Vectors).decode


class Embeddings(Operation):
    """``POST /embeddings``. An answer's ``embedding`` is a list of numbers, or base64 text of little-endian float32."""

    operation: ClassVar[str] = "embeddings"
    path: ClassVar[str] = "/embeddings"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        options, sent = target.options, dict(body)
        if not (options.get("embeddings_base64") and sent.get("encoding_format") == "base64"):
            sent.pop("encoding_format", None)
        if not options.get("embeddings_input_type"):
            sent.pop("input_type", None)
        if not options.get("embeddings_parts") and multimodal(sent.get("input")):
            raise failed("unsupported", "input: this provider embeds text and tokens only")
        return super().request(target, sent, stream=stream)

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        completion = await super().complete(upstream, target, call, clocks)
        wanted, came = count_of(call.body.get("input")), len(completion.body["data"])
        if came != wanted:
            raise failed("malformed", f"{wanted} inputs were sent, {came} embeddings came back", status=200)
        return completion

    def completion(self, raw: bytes) -> Completion:
        try:
            answer = _read_vectors(raw)
        except (ValueError, RecursionError) as error:
            opened(raw)  # raises what the document says, if it says anything
            raise malformed(f"not an answer with embeddings: {error}", raw) from error
        if not answer.data:
            opened(raw)
            raise failed("empty", "the answer has no embeddings", status=200)
        if not all(_sound(datum.embedding) for datum in answer.data):
            raise malformed("an embedding is empty, not base64 of float32, or has numbers that are none", raw)
        rows: list[Json] = [
            {"object": "embedding", "index": index, "embedding": datum.embedding}
            for index, datum in enumerate(_in_order(answer.data))
        ]
        body: Json = {"object": "list", "data": rows, "model": answer.model}
        if isinstance(answer.id, str):
            body["id"] = answer.id
        return Completion(body, _embedding_usage(answer.usage) if isinstance(answer.usage, dict) else None)


def multimodal(given: Any) -> bool:
    """``input`` is the list of objects with ``content`` parts."""
    return isinstance(given, list) and any(isinstance(one, dict) for one in given)


def count_of(given: Any) -> int:
    """How many embeddings an ``input`` asks for: a text and a list of token ids are one."""
    if not isinstance(given, list) or (given and isinstance(given[0], int)):
        return 1
    return len(given)


def _sound(vector: list[float] | str) -> bool:
    if isinstance(vector, list):
        return bool(vector)
    try:
        packed = binascii.a2b_base64(vector, strict_mode=True)
    except ValueError:  # binascii.Error, and text that is not ASCII
        return False
    return bool(packed) and len(packed) % 4 == 0 and math.isfinite(sum(array("f", packed)))


def _in_order(data: Sequence[_Datum]) -> list[_Datum]:
    """By index, where every index is there once; else as they came."""
    by_index = {datum.index: datum for datum in data if type(datum.index) is int}
    if by_index.keys() == set(range(len(data))):
        return [by_index[index] for index in range(len(data))]
    return list(data)


def _embedding_usage(raw: Json) -> Usage:
    """``prompt_tokens``; Jina and Voyage send ``total_tokens`` only. There is no completion, whatever a vendor writes."""
    usage = normalise(raw)
    total = Counts().take(raw, "total_tokens")
    prompt = usage.prompt if usage.prompt_total else total
    return msgspec.structs.replace(usage, prompt=prompt, completion=0, reasoning=0)


# -- rerank ------------------------------------------------------------------------------------------------------------


class Rerank(Operation):
    """``POST /rerank`` as Jina, Together, Voyage, SiliconFlow, Novita and vLLM have it; results come out best first."""

    operation: ClassVar[str] = "rerank"
    path: ClassVar[str] = "/rerank"

    def request(self, target: Target, body: Json, *, stream: bool) -> HttpRequest:
        sent = dict(body)
        if not target.options.get("rerank_objects"):
            sent["documents"] = [_plain(index, one) for index, one in enumerate(body.get("documents", ()))]
        return super().request(target, sent, stream=stream)

    async def complete(self, upstream: Upstream, target: Target, call: Call, clocks: Clocks) -> Completion:
        completion = await super().complete(upstream, target, call, clocks)
        results, documents = completion.body["results"], call.body.get("documents", ())
        if any(result["index"] >= len(documents) for result in results):
            raise failed("malformed", "a result names a document that was not sent", status=200)
        completion.body["results"] = results[: call.body.get("top_n") or len(results)]
        return completion

    def completion(self, raw: bytes) -> Completion:
        body = opened(raw)
        rows = body.get("results")
        if rows is None:
            rows = body.get("data")  # Voyage
        if not isinstance(rows, list):
            raise malformed("the answer has no results", raw)
        if not rows:
            raise failed("empty", "the answer has no results", status=200)
        results = [_result(row) for row in rows]
        if None in results or len({result["index"] for result in results if result}) != len(rows):
            raise malformed("a result has no index or no score, or an index comes twice", raw)
        ranked = sorted((result for result in results if result), key=lambda result: -result["relevance_score"])
        answer: Json = {"results": ranked}
        if isinstance(body.get("id"), str):
            answer["id"] = body["id"]
        return Completion(answer, _rerank_usage(body))


def _plain(index: int, document: Any) -> str:
    if isinstance(document, str):
        return document
    if document.get("image") is not None or document.get("text") is None:
        raise failed("unsupported", f"documents[{index}].image: this provider ranks text only")
    return str(document["text"])


def _result(row: Any) -> Json | None:
    """One result, or None when it is none."""
    if not isinstance(row, dict):
        return None
    index, score, document = row.get("index"), row.get("relevance_score", row.get("score")), row.get("document")
    if type(index) is not int or index < 0 or type(score) not in (int, float):
        return None
    result: Json = {"index": index, "relevance_score": score}
    if isinstance(document, str):
        result["document"] = {"text": document}
    elif isinstance(document, dict):
        kept = {name: document[name] for name in ("text", "image") if isinstance(document.get(name), str)}
        if kept:
            result["document"] = kept
    return result


def _rerank_usage(body: Json) -> Usage | None:
    """Tokens (``usage``, SiliconFlow: ``meta.tokens``) and search units (Cohere's shape: ``meta.billed_units``)."""
    meta = body.get("meta")
    billed, tokens = (meta.get("billed_units"), meta.get("tokens")) if isinstance(meta, dict) else (None, None)
    sources = [one for one in (body.get("usage"), tokens, body.get("tokens"), billed) if isinstance(one, dict)]
    if not sources:
        return None
    counts = Counts()
    prompt = next((n for one in sources if (n := counts.take(one, "prompt_tokens", "input_tokens", "total_tokens"))), 0)
    units = next((n for one in sources if (n := counts.take(one, "search_units"))), 0)
    return Usage(
        prompt=prompt,
        units={"search_unit": units} if units else None,
        cost_usd=normalise(sources[0]).cost_usd,
        suspect=counts.suspect,
    )
