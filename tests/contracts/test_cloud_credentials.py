"""Credentials from the clouds' own libraries, unchanged, against metadata servers and token services on loopback sockets.

The servers run in the event loop of the test, so an answer arrives only when the library does not block that loop.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import ssl
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import trustme
from google.auth.compute_engine import _metadata
from msgspec.structs import replace

from providers import registry
from providers.auth import cloud
from providers.azure.dialect import Azure
from providers.base import Dialect
from providers.bedrock.dialect import Bedrock
from providers.bedrock.embeddings import BedrockEmbeddings
from providers.errors import ProviderError
from providers.transport.http1 import Http1Client
from providers.types import Call, Clocks, Target
from providers.vertex.anthropic import VertexAnthropic
from providers.vertex.dialect import Vertex, VertexEmbeddings
from tests.support.rawserver import Peer, RawServer

PREFIXES = (
    "AWS_",
    "AZURE_",
    "GOOGLE_",
    "GCE_",
    "GCLOUD",
    "CLOUDSDK",
    "IDENTITY_",
    "IMDS_",
    "MSI_",
    "NO_GCE_CHECK",
    "REQUESTS_CA",
)
CLOCKS = Clocks()
Answer = tuple[int, bytes, str]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine outside every cloud: nothing in the environment, in the home directory or on the path can be found, no proxy is used."""
    for name in list(os.environ):
        if name.startswith(PREFIXES) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(tmp_path),
        "PATH": str(tmp_path),
        "NO_GCE_CHECK": "true",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AZURE_TOKEN_CREDENTIALS": "prod",
    }.items():
        monkeypatch.setenv(name, value)


def place(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """The process as it would be with these variables set at its start: google-auth reads its own when it is imported."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    importlib.reload(_metadata)


class Fake:
    """A server that answers by method and path, and keeps what it was sent. Paths that it does not know are 404."""

    def __init__(self, answers: dict[str, Answer | Callable[[str, bytes], Answer]]) -> None:
        self.answers = answers
        self.requests: list[str] = []
        self.heads: list[str] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            body = await peer.request()
            head = peer.requests[-1][0]
            method, path = head.split(" ")[:2]
            line = f"{method} {path.partition('?')[0]}"
            self.requests.append(line)
            self.heads.append(head)
            found = self.answers.get(line, (404, b"{}", ""))
            status, content, headers = found(head, body) if callable(found) else found
            await peer.answer(content, status=status, headers=headers)

    def count(self, line: str) -> int:
        return self.requests.count(line)


def ok(document: Any, headers: str = "") -> Answer:
    return 200, document.encode() if isinstance(document, str) else json.dumps(document).encode(), headers


# -- AWS ---------------------------------------------------------------------------------------------------------------

KEYS = {"access_key_id": "ASIAX", "secret_access_key": "shh", "session_token": "tok"}


def soon(seconds: float = 21_600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def aws_keys(**more: Any) -> dict[str, Any]:
    return {
        "Code": "Success",
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "shh",
        "Token": "tok",
        "Expiration": soon(),
        **more,
    }


IMDS: dict[str, Any] = {
    "PUT /latest/api/token": ok("imds-token"),
    "GET /latest/meta-data/iam/security-credentials/": ok("role-1"),
    "GET /latest/meta-data/iam/security-credentials/role-1": ok(aws_keys()),
}
STS = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
<Credentials><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>shh</SecretAccessKey><SessionToken>tok</SessionToken>
<Expiration>{soon()}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


def aws(url: str = "https://bedrock-runtime.eu-west-1.amazonaws.com") -> Target:
    return Target("amazon-bedrock", url, "m", credentials={"chain": "aws"}, options={"region": "eu-west-1"})


def in_instance(url: str, folder: Path) -> dict[str, str]:
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": url, "AWS_EC2_METADATA_DISABLED": "false"}


def in_container(url: str, folder: Path) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/creds", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod-1"}


def in_pod(url: str, folder: Path) -> dict[str, str]:
    (folder / "web-identity").write_text("jwt-1")
    return {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "web-identity"),
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/gateway",
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_DEFAULT_REGION": "eu-west-1",
    }


def by_profile(url: str, folder: Path) -> dict[str, str]:
    lines = "[work]\naws_access_key_id = ASIAX\naws_secret_access_key = shh\naws_session_token = tok\n"
    (folder / "credentials").write_text(lines)
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_PROFILE": "work"}


@pytest.mark.parametrize(
    ("environment", "answers", "sent"),
    [
        pytest.param(in_instance, IMDS, "x-aws-ec2-metadata-token: imds-token", id="EC2"),
        pytest.param(in_container, {"GET /creds": ok(aws_keys())}, "authorization: pod-1", id="ECS and EKS Pod Identity"),
        pytest.param(in_pod, {"POST /": ok(STS)}, "content-type: application/x-www-form-urlencoded", id="EKS web identity"),
        pytest.param(by_profile, {}, None, id="a profile"),
    ],
)  # fmt: skip
async def test_keys_of_aws(
    environment: Callable[[str, Path], dict[str, str]], answers: dict[str, Any], sent: str | None,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Wherever botocore finds keys, the dialect signs with them; they are looked for once, for chat and embeddings."""
    fake = Fake(answers)
    async with RawServer(fake) as server:
        place(monkeypatch, environment(server.url, tmp_path))
        upstream, bedrock = Http1Client(), Bedrock()
        embeddings = BedrockEmbeddings(bedrock._keys)
        targets = await asyncio.gather(*(bedrock.authorize(upstream, aws(), CLOCKS) for _ in range(10)))
        targets.append(await embeddings.authorize(upstream, aws(), CLOCKS))
        await upstream.aclose()
    assert [dict(target.credentials) for target in targets] == [KEYS] * 11
    assert all(fake.count(line) <= 1 for line in answers)
    if sent is not None:
        assert sent in fake.heads[-1].lower()
    request = bedrock.request(targets[0], {"messages": [{"role": "user", "content": "hi"}]}, stream=False)
    assert "Credential=ASIAX/" in dict(request.headers)["authorization"]
    assert dict(request.headers)["x-amz-security-token"] == "tok"


async def test_keys_of_aws_are_renewed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys for a quarter of an hour are kept for ten minutes or more; then botocore finds new ones."""
    numbers = iter(range(1, 9))

    def numbered(head: str, body: bytes) -> Answer:
        return ok(aws_keys(AccessKeyId=f"ASIA{next(numbers)}", Expiration=soon(905)))

    fake = Fake({"GET /creds": numbered})
    now = [datetime.now(UTC).timestamp()]
    async with RawServer(fake) as server:
        place(monkeypatch, in_container(server.url, tmp_path))
        bedrock = registry._class("bedrock.dialect.Bedrock")(registry._class("auth.aws.AwsKeys")(lambda: now[0]))

        async def key() -> str:
            return str((await bedrock.authorize(Http1Client(), aws(), CLOCKS)).credentials["access_key_id"])

        assert await key() == "ASIA1"
        now[0] += 600
        assert await key() == "ASIA1"
        now[0] += 301
        assert await key() == "ASIA2"


async def test_aws_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One chat from the metadata server to the vendor's socket."""
    fake = Fake({**IMDS, "POST /model/m/converse": ok({"output": {"message": {"content": [{"text": "ok"}]}}, "stopReason": "end_turn", "usage": {}})})  # fmt: skip
    async with RawServer(fake) as server:
        place(monkeypatch, in_instance(server.url, tmp_path))
        upstream = Http1Client()
        call = Call({"messages": [{"role": "user", "content": "hi"}]})
        answer = await Bedrock().complete(upstream, aws(server.url), call, CLOCKS)
        await upstream.aclose()
    assert answer.body["choices"][0]["message"]["content"] == "ok"
    assert "credential=asiax/" in fake.heads[-1].lower()


# -- Google ------------------------------------------------------------------------------------------------------------

ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
FLAVOR = "metadata-flavor: Google\r\n"
METADATA: dict[str, Any] = {
    "GET /": ok("", FLAVOR),
    "GET /computeMetadata/v1/project/project-id": ok("acme-1", FLAVOR),
    "GET /computeMetadata/v1/universe/universe-domain": ok("googleapis.com", FLAVOR),
    f"GET {ACCOUNT}/": ok({"email": "gate@acme-1.iam.gserviceaccount.com", "scopes": [], "aliases": ["default"]}, FLAVOR),
    f"GET {ACCOUNT}/email": ok("gate@acme-1.iam.gserviceaccount.com", FLAVOR),
    f"GET {ACCOUNT}/token": ok({"access_token": "google-1", "expires_in": 3599, "token_type": "Bearer"}, FLAVOR),
}  # fmt: skip


def google(**more: Any) -> Target:
    base = "https://aiplatform.googleapis.com/v1/projects/acme-1/locations/global/publishers/google"
    return Target("google-vertex", base, "gemini-x", credentials={"chain": "google"}, **more)


def on_compute_engine(url: str, folder: Path) -> dict[str, str]:
    host = url.removeprefix("http://")
    return {
        "GCE_METADATA_HOST": host,
        "GCE_METADATA_IP": host,
        "NO_GCE_CHECK": "false",
        "GCE_METADATA_MTLS_MODE": "none",
    }


def by_federation(url: str, folder: Path) -> dict[str, str]:
    (folder / "subject").write_text("jwt-1")
    document = {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/sts",
        "credential_source": {"file": str(folder / "subject")},
        "quota_project_id": "payer-1",
    }
    (folder / "adc.json").write_text(json.dumps(document))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(folder / "adc.json"), "GOOGLE_CLOUD_PROJECT": "acme-1"}


FEDERATION: dict[str, Any] = {
    "POST /sts": ok({
        "access_token": "google-1", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer", "expires_in": 3600,
    }),
}  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "answers", "fetch", "headers"),
    [
        pytest.param(on_compute_engine, METADATA, f"GET {ACCOUNT}/token", (), id="metadata server"),
        pytest.param(by_federation, FEDERATION, "POST /sts", (("x-goog-user-project", "payer-1"),), id="workload identity federation"),
    ],
)  # fmt: skip
async def test_tokens_of_google(
    environment: Callable[[str, Path], dict[str, str]], answers: dict[str, Any], fetch: str,
    headers: tuple[tuple[str, str], ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Wherever google-auth finds a token, every dialect of Vertex sends it; the project that pays goes along."""
    fake = Fake(answers)
    async with RawServer(fake) as server:
        place(monkeypatch, environment(server.url, tmp_path))
        vertex, upstream = Vertex(), Http1Client()
        dialects: list[Dialect] = [vertex, VertexEmbeddings(vertex._tokens), VertexAnthropic(vertex._tokens)]
        for dialect in dialects:
            target = await dialect.authorize(upstream, google(headers=(("x-team", "a"),)), CLOCKS)
            assert (target.api_key, target.headers) == ("google-1", (("x-team", "a"), *headers))
            request = dialect.request(
                target, {"messages": [{"role": "user", "content": "x"}], "input": "x"}, stream=False
            )
            assert dict(request.headers)["authorization"] == "Bearer google-1"
        await upstream.aclose()
    assert fake.count(fetch) == 1


async def test_a_project_in_braces_is_filled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Project and region of the address come from the credentials' other fields."""
    async with RawServer(Fake(METADATA)) as server:
        place(monkeypatch, on_compute_engine(server.url, tmp_path))
        base = "https://{region}-aiplatform.googleapis.com/v1/projects/{project}/locations/{region}"
        one = Target("v", base, "m", credentials={"chain": "google", "project": "p-1", "region": "us-east5"})
        target = await Vertex().authorize(Http1Client(), one, CLOCKS)
    assert target.base_url == "https://us-east5-aiplatform.googleapis.com/v1/projects/p-1/locations/us-east5"


# -- Azure -------------------------------------------------------------------------------------------------------------


def azure(**options: Any) -> Target:
    return Target("azure", "https://r.openai.azure.com", "gpt", credentials={"chain": "azure"}, options=options)


def on_app_service(url: str, folder: Path) -> dict[str, str]:
    return {"IDENTITY_ENDPOINT": f"{url}/msi", "IDENTITY_HEADER": "header-1"}


def managed(**more: Any) -> dict[str, Any]:
    expires_on = str(int(datetime.now(UTC).timestamp()) + 3600)
    return {"access_token": "azure-1", "expires_on": expires_on, "token_type": "Bearer", "resource": "x", **more}


async def test_tokens_of_azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A managed identity's token goes behind Bearer and not into Azure's own header; one for each scope."""
    fake = Fake({"GET /msi": ok(managed())})
    async with RawServer(fake) as server:
        place(monkeypatch, on_app_service(server.url, tmp_path))
        dialect, upstream = Azure(), Http1Client()
        for _ in range(3):
            target = await dialect.authorize(upstream, azure(), CLOCKS)
        assert target.api_key == "azure-1"
        await dialect.authorize(upstream, azure(scope="https://ai.azure.com/.default"), CLOCKS)
        await upstream.aclose()
    assert fake.count("GET /msi") == 2
    assert "resource=https://cognitiveservices.azure.com " in fake.heads[0]
    assert "x-identity-header: header-1" in fake.heads[0].lower()
    request = dialect.request(target, {"messages": [{"role": "user", "content": "x"}]}, stream=False)
    assert dict(request.headers)["authorization"] == "Bearer azure-1"
    assert "api-key" not in dict(request.headers)


async def test_a_workload_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """AKS gives a token of its own, a tenant and an authority by the environment; Entra ID exchanges it, over TLS only."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    (tmp_path / "federated").write_text("jwt-1")
    forms: list[dict[str, list[str]]] = []

    def exchange(head: str, body: bytes) -> Answer:
        forms.append(parse_qs(body.decode()))
        return ok({"access_token": "azure-2", "expires_in": 3600, "token_type": "Bearer"})

    fake = Fake({"POST /tenant-1/oauth2/v2.0/token": exchange})
    async with RawServer(fake, tls=context) as server:
        environment = {
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "federated"),
            "AZURE_TENANT_ID": "tenant-1",
            "AZURE_CLIENT_ID": "client-1",
            "AZURE_AUTHORITY_HOST": server.url,
            "REQUESTS_CA_BUNDLE": str(tmp_path / "root.pem"),
        }
        place(monkeypatch, environment)
        upstream = Http1Client()
        credentials = {"chain": "azure", "tenant_id": "tenant-1", "client_id": "client-1"}
        target = replace(azure(), credentials=credentials)
        found = await Azure().authorize(upstream, target, CLOCKS)
        await upstream.aclose()
    assert found.api_key == "azure-2"
    (form,) = forms
    assert form["client_assertion"] == ["jwt-1"]
    assert form["scope"] == ["https://cognitiveservices.azure.com/.default"]


# -- Failures ----------------------------------------------------------------------------------------------------------

TARGETS: dict[str, tuple[str, Callable[[], Target]]] = {"aws": ("bedrock", aws), "azure": ("azure", azure), "google": ("vertex", google)}  # fmt: skip


def dialect_of(name: str) -> Dialect:
    """A fresh one, with an empty cache."""
    made: Dialect = type(registry.dialect(name))()
    return made


@pytest.mark.parametrize("name", sorted(TARGETS))
async def test_nothing_is_found(name: str) -> None:
    """On a machine outside every cloud the failure is the credential's."""
    dialect, target = TARGETS[name]
    upstream = Http1Client()
    with pytest.raises(ProviderError) as caught:
        await dialect_of(dialect).authorize(upstream, target(), CLOCKS)
    await upstream.aclose()
    assert caught.value.failure.kind == "credential"


@pytest.mark.parametrize("name", sorted(TARGETS))
async def test_an_extra_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library the error says what to install."""
    monkeypatch.setattr(cloud, "find_spec", lambda module: None)
    assert not cloud.is_installed(name)
    dialect, target = TARGETS[name]
    upstream = Http1Client()
    with pytest.raises(ProviderError, match=rf"pip install 'tokenway\[{name}\]'") as caught:
        await dialect_of(dialect).authorize(upstream, target(), CLOCKS)
    await upstream.aclose()
    assert caught.value.failure.kind == "credential"


def test_every_cloud_is_an_extra() -> None:
    """What the error tells an operator to install exists, installs the library, and is there for these tests."""
    extras = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
    for name in cloud.CLOUDS:
        assert cloud.is_installed(name)
        assert set(extras["optional-dependencies"][name]) <= set(extras["optional-dependencies"]["dev"])


@pytest.mark.parametrize(
    ("environment", "name", "answers", "kind"),
    [
        (in_pod, "aws", {"POST /": (403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", "")}, "credential"),
        (in_container, "aws", {"GET /creds": (403, b"{}", "")}, "credential"),
        (in_container, "aws", {"GET /creds": ok(aws_keys(Expiration=soon(-60)))}, "credential"),
        (by_federation, "google", {"POST /sts": (400, b'{"error":"invalid_grant","error_description":"no"}', "")}, "credential"),
        (on_compute_engine, "google", {**METADATA, f"GET {ACCOUNT}/token": (404, b"", FLAVOR)}, "credential"),
        (on_app_service, "azure", {"GET /msi": (400, b'{"statusCode":400,"message":"no"}', "")}, "credential"),
    ],
)  # fmt: skip
async def test_a_source_that_refuses(
    environment: Callable[[str, Path], dict[str, str]], name: str, answers: dict[str, Any], kind: str,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """A refusal is the credential's fault; the caller gets a provider's failure and never the library's exception."""
    dialect, target = TARGETS[name]
    async with RawServer(Fake(answers)) as server:
        place(monkeypatch, environment(server.url, tmp_path))
        with pytest.raises(ProviderError) as caught:
            await dialect_of(dialect).authorize(Http1Client(), target(), CLOCKS)
    assert caught.value.failure.kind == kind


async def test_a_chain_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers wait no longer than the limit of a chain."""
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(cloud_: str, settings: object) -> Any:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result(10)

    monkeypatch.setattr(cloud, "_fetch", hang)
    monkeypatch.setattr(cloud, "FETCH_MAX_S", 0.05)
    with pytest.raises(ProviderError) as caught:
        await cloud.fetch("aws")
    released.set()
    assert caught.value.clock == "total"
