"""Signatures of AWS: the published example, botocore as oracle for any request, and what our client really puts on the wire."""

from __future__ import annotations

import datetime
from unittest.mock import patch
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from providers.auth.sigv4 import AccessKeys, access_keys, signed
from providers.bedrock.dialect import Bedrock
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, HttpRequest, Target
from tests.support.examples import examples
from tests.support.rawserver import Peer, RawServer

NOW = 1_440_938_160.0  # 2015-08-30T12:36:00Z
KEYS = AccessKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def by_botocore(request: HttpRequest, keys: AccessKeys, region: str, service: str, now: float) -> dict[str, str]:
    """The headers that botocore adds to the same request."""
    aws = AWSRequest(method=request.method, url=request.url, headers=dict(request.headers), data=request.content)
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    with patch("botocore.auth.get_current_datetime", return_value=moment):
        SigV4Auth(
            Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token), service, region
        ).add_auth(aws)
    return {name.lower(): value for name, value in aws.headers.items()}


def test_the_published_example() -> None:
    """``get-vanilla`` of the test suite for Signature Version 4."""
    made = signed(
        HttpRequest("https://example.amazonaws.com/", (), b"", "GET"),
        KEYS,
        region="us-east-1",
        service="service",
        now=NOW,
    )
    assert dict(made.headers)["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
SEGMENT = st.text(min_size=1, max_size=12).filter(lambda text: text not in (".", ".."))
NAME = st.from_regex(r"x-[a-z][a-z0-9-]{0,10}", fullmatch=True)


@examples(250)
@given(
    path=st.lists(SEGMENT, max_size=4),
    query=st.dictionaries(WORD, st.text(max_size=6), max_size=3),
    headers=st.dictionaries(NAME, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20), max_size=4),
    body=st.binary(max_size=100),
    token=st.none() | WORD,
    now=st.integers(0, 4_000_000_000),
    port=st.sampled_from(["", ":8443"]),
)
def test_botocore_signs_the_same(
    path: list[str], query: dict[str, str], headers: dict[str, str], body: bytes, token: str | None, now: int, port: str
) -> None:
    """Any path, query, headers, body, time, with and without a session token: the signature is botocore's."""
    url = f"https://bedrock-runtime.eu-west-1.amazonaws.com{port}/" + "/".join(quote(part, safe="") for part in path)
    if query:
        url += "?" + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    request = HttpRequest(url, tuple(headers.items()), body)
    keys = AccessKeys("AKID", "secret/with+signs", token)
    made = dict(signed(request, keys, region="eu-west-1", service="bedrock", now=now).headers)
    expected = by_botocore(request, keys, "eu-west-1", "bedrock", now)
    assert made["authorization"] == expected["authorization"]
    assert made["x-amz-date"] == expected["x-amz-date"]
    assert made.get("x-amz-security-token") == expected.get("x-amz-security-token")


async def test_what_is_signed_is_what_is_sent() -> None:
    """From the bytes that a vendor gets, and nothing else, botocore computes the very signature that came with them."""
    heads: list[tuple[str, bytes]] = []

    async def script(peer: Peer) -> None:
        body = await peer.request()
        heads.append((peer.requests[-1][0], body))
        await peer.answer(b'{"output":{"message":{"content":[{"text":"ok"}]}},"stopReason":"end_turn","usage":{}}')

    async with RawServer(script) as server:
        client = Http1Client()
        target = Target(
            "aws",
            server.url,
            "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-x-v1:0",
            headers=(("x-team", " a  b "), ("user-agent", "someone")),
            options={"region": "eu-west-1"},
            credentials={"access_key_id": "AKID", "secret_access_key": "shh", "session_token": "tok"},
        )
        asked = Call({"messages": [{"role": "user", "content": "Grüße"}]})
        answer = await Bedrock(clock=lambda: NOW).complete(client, target, asked, Clocks())
        await client.aclose()
    assert answer.body["choices"][0]["message"]["content"] == "ok"
    head, body = heads[0]
    line, *lines = head.strip().split("\r\n")
    sent = dict(one.split(": ", 1) for one in lines)
    named = sent["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert named == sorted(["accept", "content-type", "host", "x-amz-date", "x-amz-security-token", "x-team"])
    path = line.split(" ")[1]
    assert path.count("%2F") == 1
    assert path.count("%3A") == 6
    wire = HttpRequest(
        f"http://{sent['host']}{path}", tuple((n, sent[n]) for n in named if not n.startswith("x-amz-")), body
    )
    again = by_botocore(wire, AccessKeys("AKID", "shh", "tok"), "eu-west-1", "bedrock", NOW)
    assert sent["authorization"] == again["authorization"]
    assert sent["x-amz-date"] == "20150830T123600Z"


def test_secrets_are_not_shown() -> None:
    """The text of the keys has no secret in it; keys are there only when both halves are."""
    assert "secret" not in repr(AccessKeys("AKID", "secret", "secret"))
    assert access_keys({"access_key_id": "a"}) is None
    assert access_keys({"access_key_id": "a", "secret_access_key": "b", "session_token": ""}) == AccessKeys(
        "a", "b", None
    )
