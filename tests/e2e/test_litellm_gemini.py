"""A third-party server of Gemini's API, with a real model behind it: LiteLLM's proxy in front of llama.cpp.

Runs where the bench has installed LiteLLM (``python -m bench`` does, 576 MB); elsewhere it is skipped. What LiteLLM 1.109 does
otherwise than Google (seen 2026-11): a streamed answer reports a usage of zeros, so the gateway counts for itself.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from simulator import local_model
from tests.e2e.test_local_model import endpoint
from tests.support import wireshape
from tests.support.gateway import Sale, Stage, events
from tests.support.invariants import calm, charged, content, price
from tests.support.process import ROOT, free_port

pytestmark = [pytest.mark.soak, pytest.mark.model, pytest.mark.timeout(300)]

PROGRAM = ROOT / "bench/.peers/litellm/bin/litellm"
KEY = "sk-litellm-of-a-test-0123456789"
SALE = Sale("local/gemini", "litellm", "smol", prompt="0.01", completion="0.02")


@asynccontextmanager
async def proxied(base_url: str, home: Path) -> AsyncIterator[str]:
    """LiteLLM in front of an OpenAI-compatible model: the base URL of its Gemini shape."""
    model = {"model": f"openai/{local_model.MODEL}", "api_base": base_url, "api_key": "sk-none"}
    config = {"model_list": [{"model_name": "smol", "litellm_params": model}], "general_settings": {"master_key": KEY}}
    (home / "litellm.json").write_text(json.dumps(config))  # JSON is YAML
    port, log = free_port(), home / "litellm.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(str(PROGRAM), "--config", str(home / "litellm.json"), "--host", "127.0.0.1", "--port", str(port)),
            env={**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
            stdout=out,
            stderr=out,
            cwd=home,
        )
    try:
        async with asyncio.timeout(120), httpx.AsyncClient(timeout=5) as client:
            while True:
                assert process.returncode is None, log.read_text()[-2000:]
                try:
                    if (await client.get(f"http://127.0.0.1:{port}/health/liveliness")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.25)
        yield f"http://127.0.0.1:{port}/v1beta"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_model_behind_another_gateways_gemini(
    gateway: Callable[..., Awaitable[Stage]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real text through two gateways, JSON and streamed; billed by the report where there is one, else by our own count."""
    if not PROGRAM.exists():
        pytest.skip("LiteLLM is not installed; the bench installs it")
    local_model.check()
    monkeypatch.setenv("LITELLM_TEST_KEY", KEY)
    async with endpoint(tmp_path / "model.log") as (url, _), proxied(url, tmp_path) as base:
        row = {"dialect": "gemini", "api_key_env": "LITELLM_TEST_KEY"}
        stage = await gateway(SALE, urls={"litellm": base}, provider={"litellm": row}, total_timeout_s=60)
        for stream in (False, True):
            caller = await stage.caller()
            body = {"model": "local/gemini", "max_tokens": 12, "stream": stream}
            body["messages"] = [{"role": "user", "content": "What is the capital of France?"}]
            response = await stage.gateway.client.post("/api/v1/chat/completions", json=body, headers=caller.headers)
            if stream:
                found = events(response.text)
                assert content(wireshape.stream(response, found)).strip()
                usage = found[-2]["usage"]
            else:
                answer = wireshape.answer(response)
                assert answer["choices"][0]["message"]["content"].strip()
                usage = answer["usage"]
            assert 5 <= usage["prompt_tokens"] <= 60
            assert 1 <= usage["completion_tokens"] <= 40
            await calm(stage)
            line, losses = await charged(caller)
            assert not losses
            assert line.cost_nano == price(SALE, usage["prompt_tokens"], usage["completion_tokens"]).cost
            record = await caller.record(line.generation_id)
            print(f"stream={stream}: {usage['prompt_tokens']} + {usage['completion_tokens']}, {record.usage_source}")
            assert record.usage_source == ("estimated" if stream else "reported")
