"""Bedrock's embeddings: InvokeModel of Titan and Cohere, in and out, over a real socket where headers count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from providers.bedrock.embeddings import BedrockEmbeddings
from providers.errors import ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, HttpResponse, Target
from tests.support.examples import examples
from tests.support.rawserver import Peer, RawServer

WIRE = Path(__file__).parents[1] / "wire/bedrock/embeddings"
CASES = {path.stem: json.loads(path.read_text()) for path in sorted(WIRE.glob("*.json"))}
EMBEDDINGS = BedrockEmbeddings(clock=lambda: 1_700_000_000)
TITAN, COHERE3, COHERE4 = "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3", "us.cohere.embed-v4:0"


def target(model: str, url: str = "https://bedrock-runtime.us-east-1.amazonaws.com", **options: Any) -> Target:
    return Target("aws", url, model, api_key="k", options=options)


def sent(model: str, /, **body: Any) -> Any:
    request = EMBEDDINGS.request(target(model, **body.pop("options", {})), body, stream=False)
    assert request.url.endswith(f"/model/{model.replace(':', '%3A')}/invoke")
    assert {("content-type", "application/json"), ("accept", "application/json")} <= set(request.headers)
    return json.loads(request.content)


def refused(model: str, /, **body: Any) -> str:
    with pytest.raises(ProviderError) as caught:
        EMBEDDINGS.request(target(model), body, stream=False)
    assert caught.value.failure.kind == "unsupported"
    return caught.value.message.partition(":")[0]


@pytest.mark.parametrize("name", list(CASES))
async def test_an_answer(name: str) -> None:
    """Vectors in order in OpenAI's shape; tokens from the body or the header, or none."""
    case = CASES[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        lines = "".join(f"{key}: {value}\r\n" for key, value in case["headers"].items())
        await peer.answer(json.dumps(case["body"]).encode(), headers=lines)

    async with RawServer(script) as server:
        client = Http1Client()
        done = await EMBEDDINGS.complete(client, target(case["model"], server.url), Call({"input": "a"}), Clocks())
        await client.aclose()
    assert [one["embedding"] for one in done.body["data"]] == case["vectors"]
    assert [one["index"] for one in done.body["data"]] == list(range(len(case["vectors"])))
    assert (done.usage.prompt if done.usage else None) == case["tokens"]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    CreateEmbeddingResponse.model_validate({**done.body, "model": "m", "usage": usage})


def test_requests() -> None:
    """Each vendor model's own words for the texts, the dimensions and the kind of input."""
    assert sent(TITAN, input="a", dimensions=256, input_type="query", user="u") == {"inputText": "a", "dimensions": 256}
    assert sent("amazon.titan-embed-text-v1", input=["a"]) == {"inputText": "a"}
    floats = {"embedding_types": ["float"]}
    assert sent(COHERE3, input=["a", "b"]) == {"texts": ["a", "b"], "input_type": "search_document", **floats}
    assert sent(COHERE4, input="a", dimensions=512, input_type="search_query") == {
        "texts": ["a"], "input_type": "search_query", "output_dimension": 512, **floats,
    }  # fmt: skip
    profile = "application-inference-profile"
    assert (
        sent(profile, input="a", options={"family": "cohere", "input_type": "clustering"})["input_type"] == "clustering"
    )


def test_what_cannot_be_expressed() -> None:
    """Several texts for Titan, more than 96 for Cohere, tokens, pictures, dimensions that a model has no choice of."""
    assert refused(TITAN, input=["a", "b"]) == "input"
    assert refused(COHERE3, input=["a"] * 97) == "input"
    assert refused(COHERE3, input=[1, 2]) == "input"
    assert refused(COHERE3, input=[{"content": []}]) == "input"
    assert refused(COHERE3, input=[]) == "input"
    assert refused(COHERE3) == "input"
    assert refused(COHERE3, input="a", dimensions=3) == "dimensions"
    assert refused("amazon.titan-embed-text-v1", input="a", dimensions=3) == "dimensions"
    assert refused("anthropic.claude-x", input="a") == "model"


@pytest.mark.parametrize(
    "raw",
    [
        b"{}", b"[]", b"{", b"\xff", b'{"embedding":"x"}', b'{"embeddings":[]}', b'{"embeddings":[[]]}', b'{"embeddings":{"int8":[[1]]}}',
        b'{"embeddings":[[1,"a"]]}', b'{"embeddings":[[1,true]]}', b'{"embeddings":[1]}', b'{"embedding":[null]}', b"",
    ],
)  # fmt: skip
def test_unreadable_answers(raw: bytes) -> None:
    """Anything without vectors of numbers is malformed, nothing at all is empty."""
    with pytest.raises(ProviderError) as caught:
        EMBEDDINGS.completion(raw)
    assert caught.value.failure.kind == ("malformed" if raw else "empty")


@examples(100)
@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_the_header_is_not_trusted(value: str) -> None:
    """A count in the header that is not a number, or absurd, is ignored; the answer stands."""
    raw = json.dumps(CASES["cohere-v3"]["body"]).encode()
    done = EMBEDDINGS.read(HttpResponse(200, {"x-amzn-bedrock-input-token-count": value}, raw))
    assert len(done.body["data"]) == 2
    assert done.usage is None or 0 <= done.usage.prompt <= 100_000_000


def test_refusals_are_those_of_bedrock() -> None:
    """A refusal is read as in chat."""
    error = EMBEDDINGS.failure(HttpResponse(429, {"x-amzn-errortype": "ThrottlingException"}, b'{"message":"slow"}'))
    assert (error.failure.kind, error.message) == ("rate_limited", "slow")
