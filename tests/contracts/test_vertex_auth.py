"""Vertex's credentials against a real token server that checks the signature, and through it a real call of the model."""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import urlsafe_b64decode
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import jwt
from hypothesis import given
from hypothesis import strategies as st

from providers.auth.google import SCOPE, GoogleTokens, ServiceAccount, assertion, service_account
from providers.errors import ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, HttpRequest, HttpResponse, Target
from providers.vertex.dialect import Vertex, VertexEmbeddings
from tests.support.examples import examples
from tests.support.rawserver import Peer, RawServer

CLOCKS = Clocks()
BASE = "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}/publishers/google"
ANSWER = b'{"candidates":[{"content":{"parts":[{"text":"hi"}]},"finishReason":"STOP"}]}'


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def account(**more: Any) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "acme-1",
            "private_key_id": "kid1",
            "private_key": pem(rsa_key()),
            "client_email": "gate@acme-1.iam.gserviceaccount.com",
            "token_uri": "https://oauth2.googleapis.com/token",
            **more,
        }
    )


def target(url: str, text: str | None = None, **more: Any) -> Target:
    options = {"token_uri": f"{url}/token"} if url else {}
    key = account() if text is None else text
    return Target("google-vertex", f"{url}/v1/projects/{{project}}/x", "gemini-x", api_key=key, options=options, **more)


class TokenServer:
    """Google's token endpoint: verifies the JWT as Google would, gives numbered tokens."""

    def __init__(self, *, life_s: Any = 3600, status: int = 200, wait_s: float = 0.0) -> None:
        self.life_s, self.status, self.wait_s = life_s, status, wait_s
        self.exchanges = 0
        self.claims: dict[str, Any] = {}
        self.models: list[tuple[str, bytes]] = []
        self.lock = threading.Lock()

    async def __call__(self, peer: Peer) -> None:
        try:
            while True:
                body = await peer.request()
                head = peer.requests[-1][0]
                if head.startswith("POST /token "):
                    await self._token(peer, head, body)
                else:
                    self.models.append((head, body))
                    await peer.answer(ANSWER)
        except asyncio.IncompleteReadError:
            return

    async def _token(self, peer: Peer, head: str, body: bytes) -> None:
        with self.lock:
            self.exchanges += 1
            number = self.exchanges
        assert "content-type: application/x-www-form-urlencoded" in head
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        signed, _, signature = form["assertion"].rpartition(".")
        raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        rsa_key().public_key().verify(raw, signed.encode(), PKCS1v15(), SHA256())
        header, claims = (json.loads(urlsafe_b64decode(one + "=" * (-len(one) % 4))) for one in signed.split("."))
        assert header == {"alg": "RS256", "typ": "JWT", "kid": "kid1"}
        self.claims = claims
        await asyncio.sleep(self.wait_s)
        if self.status != 200:
            refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            await peer.answer(json.dumps(refusal).encode(), status=self.status)
        else:
            token = {"access_token": f"tok-{number}", "expires_in": self.life_s, "token_type": "Bearer"}
            await peer.answer(json.dumps(token).encode())


async def test_a_call_with_a_service_account() -> None:
    """The JWT is signed, exchanged and used as a bearer; the project of the account stands in the address."""
    server = TokenServer()
    async with RawServer(server) as raw:
        upstream = Http1Client()
        body = {"messages": [{"role": "user", "content": "x"}]}
        answer = await Vertex().complete(upstream, target(raw.url), Call(body), CLOCKS)
        assert answer.body["choices"][0]["message"]["content"] == "hi"
        await upstream.aclose()
        head = server.models[0][0]
        assert head.startswith("POST /v1/projects/acme-1/x/models/gemini-x:generateContent ")
        assert "authorization: bearer tok-1\r\n" in head.lower()
        assert "private" not in head.lower()
        claims = server.claims
        assert claims["iss"] == "gate@acme-1.iam.gserviceaccount.com"
        assert (claims["scope"], claims["aud"]) == (SCOPE, f"{raw.url}/token")
        assert claims["exp"] - claims["iat"] == 3600


async def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    """One exchange for many calls; a new one in the background 225 s before the end; another account has another token."""
    now = [1_800_000_000.0]
    server = TokenServer()
    tokens = GoogleTokens(clock=lambda: now[0])
    async with RawServer(server) as raw:
        upstream = Http1Client()

        async def ask(one: Target) -> str | None:
            return await tokens.access_token(upstream, one, CLOCKS)

        mine, other = target(raw.url), target(raw.url, account(client_email="other@acme"))
        assert [await ask(mine), await ask(mine), await ask(other)] == ["tok-1", "tok-1", "tok-2"]
        now[0] += 3600 - 226
        assert await ask(mine) == "tok-1"
        now[0] += 2
        assert await ask(mine) == "tok-1", "it is still valid: no call waits for the new one"
        while (token := await ask(mine)) == "tok-1":
            await asyncio.sleep(0.001)
        assert token == "tok-3"
        assert server.claims["iat"] == int(now[0])
        await upstream.aclose()


@pytest.mark.parametrize("life", [0, -5, "soon", None, True, 1e300])
async def test_a_lifetime_without_sense(life: Any) -> None:
    """A token without a sensible lifetime is used once and not kept; an endless one is not kept for ever."""
    server = TokenServer(life_s=life)
    now = [1_800_000_000.0]
    tokens = GoogleTokens(clock=lambda: now[0])
    async with RawServer(server) as raw:
        upstream = Http1Client()
        assert await tokens.access_token(upstream, target(raw.url), CLOCKS) == "tok-1"
        now[0] += 12 * 3600 if life == 1e300 else 0.0
        assert await tokens.access_token(upstream, target(raw.url), CLOCKS) == "tok-2"
        await upstream.aclose()


async def test_one_exchange_at_a_time() -> None:
    """Fifty callers at once are one exchange, also when the first of them gives up in the middle."""
    server = TokenServer(wait_s=0.05)
    tokens = GoogleTokens()
    async with RawServer(server) as raw:
        upstream = Http1Client()
        callers = [asyncio.create_task(tokens.access_token(upstream, target(raw.url), CLOCKS)) for _ in range(50)]
        while not server.exchanges:
            await asyncio.sleep(0.001)
        callers[0].cancel()
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert set(found[1:]) == {"tok-1"}
        assert server.exchanges == 1
        await upstream.aclose()


async def test_one_failure() -> None:
    """Callers that waited for an exchange get its failure; the next one tries again."""
    server = TokenServer(wait_s=0.05, status=400)
    tokens = GoogleTokens()
    async with RawServer(server) as raw:
        upstream = Http1Client()
        callers = (tokens.access_token(upstream, target(raw.url), CLOCKS) for _ in range(20))
        found = await asyncio.gather(*callers, return_exceptions=True)
        assert {type(one) for one in found} == {ProviderError}
        assert server.exchanges == 1
        server.status = 200
        assert await tokens.access_token(upstream, target(raw.url), CLOCKS) == "tok-2"
        await upstream.aclose()


def test_several_event_loops() -> None:
    """One ``GoogleTokens`` in eight threads with a loop each: every one gets a token, and later ones the kept one."""
    server = TokenServer(wait_s=0.02)
    tokens = GoogleTokens()
    found: list[str | None] = []

    async def serve(ready: threading.Event, urls: list[str], done: threading.Event) -> None:
        async with RawServer(server) as raw:
            urls.append(raw.url)
            ready.set()
            while not done.is_set():
                await asyncio.sleep(0.01)

    async def use(url: str) -> None:
        upstream = Http1Client()
        found.extend(await asyncio.gather(*(tokens.access_token(upstream, target(url), CLOCKS) for _ in range(5))))
        await upstream.aclose()

    ready, done, urls = threading.Event(), threading.Event(), list[str]()
    keeper = threading.Thread(target=lambda: asyncio.run(serve(ready, urls, done)))
    keeper.start()
    assert ready.wait(10)
    users = [threading.Thread(target=lambda: asyncio.run(use(urls[0]))) for _ in range(8)]
    for user in users:
        user.start()
    for user in users:
        user.join(20)
    asyncio.run(use(urls[0]))
    done.set()
    keeper.join(10)
    assert len(found) == 45
    assert all(token and token.startswith("tok-") for token in found)
    assert 1 <= server.exchanges <= 8
    assert len(set(found[-5:])) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(400, "credential"), (401, "credential"), (403, "credential"), (429, "server_error"), (503, "server_error")]
)  # fmt: skip
async def test_a_refusal(status: int, kind: str) -> None:
    """A refused account is the credential's fault, a token endpoint out of order is not; the key is never in the error."""
    async with RawServer(TokenServer(status=status)) as raw:
        upstream = Http1Client()
        with pytest.raises(ProviderError) as caught:
            await Vertex().authorize(upstream, target(raw.url), CLOCKS)
        assert caught.value.failure.kind == kind
        assert caught.value.status == status
        assert "Invalid JWT Signature" in caught.value.message
        assert "PRIVATE" not in f"{caught.value} {caught.value.raw}"
        await upstream.aclose()


class Scripted:
    """An upstream that gives one answer and remembers what was sent."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest, clocks: Clocks) -> HttpResponse:
        self.sent.append(request)
        return HttpResponse(200, {}, self.content)

    async def open(self, request: HttpRequest, clocks: Clocks) -> Any:
        raise AssertionError("a token is not streamed")

    async def aclose(self) -> None:
        return None


@examples(100)
@given(
    st.binary(max_size=60) | st.from_regex(r'\{"access_token":("[^"\\]{0,5}"|[0-9]{1,3}|null|\[\])\}', fullmatch=True)
)
def test_any_answer_of_the_token_endpoint(raw: bytes | str) -> None:
    """Whatever it answers: a printable token or a provider's failure."""
    upstream = Scripted(raw.encode() if isinstance(raw, str) else raw)
    try:
        token = asyncio.run(GoogleTokens().access_token(upstream, target("http://x"), CLOCKS))
    except ProviderError as error:
        assert error.failure.kind == "credential"  # noqa: PT017 - the point is that nothing else is raised
        return
    assert token
    assert token.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"client_email": "a", "private_key": 5}',
        account(private_key="-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        account(private_key="junk"),
        account(private_key=pem(ec.generate_private_key(ec.SECP256R1()))),
        account(private_key="A" * 3000),
        account(token_uri=5),
        "{" + "[" * 5000,
    ],
)
async def test_a_broken_account(text: str) -> None:
    """A broken account is the credential's failure, nothing of it is in the error, and nothing is sent."""
    upstream = Scripted(b"")
    with pytest.raises(ProviderError) as caught:
        await GoogleTokens().access_token(upstream, Target("v", "http://x", "m", api_key=text), CLOCKS)
    assert caught.value.failure.kind == "credential"
    assert caught.value.__cause__ is None
    assert not upstream.sent


@pytest.mark.parametrize(
    "address",
    [
        "http://oauth2.googleapis.com/token", "https://169.254.169.254/token", "https://evil.example/token", "https://googleapis.com.evil.example/",
        "https://evil.example/?x=.googleapis.com", "https://user@oauth2.googleapis.com/token", "https://oauth2.googleapis.com:8443/token",
        "https://evilgoogleapis.com/", "file:///etc/passwd", "https://[::1", "",
    ],
)  # fmt: skip
async def test_an_account_leads_only_to_google(address: str) -> None:
    """A caller's own account cannot make the gateway call any other address."""
    upstream = Scripted(b'{"access_token":"t"}')
    one = Target("v", "http://x", "m", api_key=account(token_uri=address))
    with pytest.raises(ProviderError, match="token_uri"):
        await GoogleTokens().access_token(upstream, one, CLOCKS)
    assert not upstream.sent
    good = Target("v", "http://x", "m", api_key=account(token_uri="https://www.googleapis.com/oauth2/v4/token"))
    assert await GoogleTokens().access_token(upstream, good, CLOCKS) == "t"


def test_the_jwt_is_what_googles_own_library_reads() -> None:
    """google-auth, the vendor's library, accepts header, claims and signature."""
    public = rsa_key().public_key()
    account_ = ServiceAccount("a@b", pem(rsa_key()), "kid1")

    class Verifier:
        def verify(self, message: bytes, signature: bytes) -> bool:
            public.verify(signature, message, PKCS1v15(), SHA256())
            return True

    header, claims, signed, signature = jwt._unverified_decode(
        assertion(account_, rsa_key(), "https://aud", 1_800_000_000)
    )
    assert Verifier().verify(signed, signature)
    assert header["kid"] == "kid1"
    assert claims == {"iss": "a@b", "scope": SCOPE, "aud": "https://aud", "iat": 1_800_000_000, "exp": 1_800_003_600}


@pytest.mark.parametrize(
    ("more", "made"),
    [
        ({"credentials": {"region": "europe-west4"}}, "https://europe-west4-aiplatform.googleapis.com/v1/projects/acme-1/locations/europe-west4/publishers/google"),
        ({"options": {"region": "us-east5"}}, "https://us-east5-aiplatform.googleapis.com/v1/projects/acme-1/locations/us-east5/publishers/google"),
        ({}, "https://aiplatform.googleapis.com/v1/projects/acme-1/locations/global/publishers/google"),
        ({"credentials": {"project": "beta"}}, "https://aiplatform.googleapis.com/v1/projects/beta/locations/global/publishers/google"),
    ],
)  # fmt: skip
async def test_the_address(more: dict[str, Any], made: str) -> None:
    """Region and project are filled in; the global endpoint has no prefix. Every operation of Vertex does it."""
    for dialect in (Vertex(), VertexEmbeddings()):
        one = Target("v", BASE, "m", api_key=account(), **more)
        ready = await dialect.authorize(Scripted(b'{"access_token":"t"}'), one, CLOCKS)
        assert (ready.base_url, ready.api_key) == (made, "t")
        separate = Target(
            "v", BASE, "m", **{**more, "credentials": {**more.get("credentials", {}), "service_account": account()}}
        )
        assert (await dialect.authorize(Scripted(b'{"access_token":"t"}'), separate, CLOCKS)).base_url == made


@pytest.mark.parametrize(
    "more",
    [
        {"api_key": "ya29.token"},
        {"api_key": account(), "credentials": {"region": "evil.example/"}},
        {"api_key": account(), "credentials": {"project": "../.."}},
        {"api_key": account(project_id="a/b")},
        {"api_key": account(project_id="")},
    ],
)
async def test_an_address_that_cannot_be_made(more: dict[str, Any]) -> None:
    """Without a project, or with an invalid one, nothing is called: it is part of host and path."""
    with pytest.raises(ProviderError) as caught:
        await Vertex().authorize(Scripted(b'{"access_token":"t"}'), Target("v", BASE, "m", **more), CLOCKS)
    assert caught.value.failure.kind == "credential"


async def test_other_keys_pass() -> None:
    """An access token, an API key or none needs no exchange: the target stays the same."""
    upstream = Scripted(b"")
    for key in ("ya29.token", "AQ.key", None):
        one = Target("v", "https://aiplatform.googleapis.com/v1/publishers/google", "m", api_key=key)
        assert await Vertex().authorize(upstream, one, CLOCKS) is one
        assert service_account(one) is None
    assert not upstream.sent
