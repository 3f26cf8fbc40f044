"""The published OpenAPI page against the running gateway: whatever schemathesis sends to whichever route, there is no 5xx, and every
answer has a status, a type and a shape that the page promises.

The tool has one worker: in two threads Python 3.11's parser mistakes the depth of one for that of the other.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway import ADMIN_KEY, Sale, write_catalog
from tests.support.process import Process, served
from tests.support.vendor import vendor

SALES = [Sale("t/a", "alpha", "ok+tokens=3"), Sale("acme/fast-1", "alpha", "ok+tokens=3")]
CHAT = ["/api/v1/chat/completions"]
ALL_PHASES = "examples,coverage,fuzzing,stateful"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
PATIENCE_S = 400


async def page(process: Process) -> dict[str, Any]:
    """The published page. Its model is narrowed to one that exists, so that good requests go all the way."""
    async with httpx.AsyncClient(timeout=30) as client:
        document: dict[str, Any] = (await client.get(process.url + "/openapi.json")).json()
    chat = document["components"]["schemas"]["ChatRequest"]
    chat["properties"]["model"] = {"enum": ["t/a"]}
    chat["required"] = [*chat["required"], "model"]
    return document


async def fuzz(
    process: Process, tmp_path: Path, key: str, paths: list[str], examples: int, phases: str = "fuzzing"
) -> str:
    """Run the real tool on these paths; its output."""
    document = await page(process)
    document["paths"] = {path: document["paths"][path] for path in paths}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    tool = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            str(file),
            "--url",
            process.url,
            "-H",
            f"Authorization: Bearer {key}",
        ),
        *("--checks", CHECKS, "--max-examples", str(examples), "--seed", "1", "--no-color"),
        *("--phases", phases, "--generation-database", "none", "--workers", "1"),
        *("--suppress-health-check", "all", "--request-timeout", "30", "--warnings", "off"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            out, _ = await tool.communicate()
    except BaseException:
        tool.kill()
        await tool.wait()
        raise
    output = out.decode()
    assert tool.returncode == 0, output
    return output


@pytest.mark.tail
@pytest.mark.timeout(1200)
async def test_no_server_error(tmp_path: Path) -> None:
    """Inference with an API key, management with the management key and without rights: no 5xx; afterwards the books balance."""
    async with vendor("alpha") as alpha:
        config = write_catalog(tmp_path / "config", {"alpha": alpha.base_url}, SALES)
        async with served(config, tmp_path / "data") as process:
            key = await process.key("1000")
            operations: dict[str, Any] = (await page(process))["paths"]
            surfaces = [
                path for path, methods in operations.items() if "inference" in methods.get("post", {}).get("tags", ())
            ]
            management = [path for path in operations if path not in surfaces]
            assert len(management) > 15
            assert len(surfaces) > 10
            await fuzz(process, tmp_path, key, CHAT, 60, ALL_PHASES)
            await fuzz(process, tmp_path, key, [path for path in surfaces if path not in CHAT], 10)
            await fuzz(process, tmp_path, key, management, 3, ALL_PHASES)
            await fuzz(process, tmp_path, ADMIN_KEY, management, 12, ALL_PHASES)
            answered = [entry for entry in alpha.log.requests if entry.finished]
            assert len(answered) > 10
            assert not [line for line in process.lines() if line["event"] == "fault"]
            assert "Traceback" not in process.complaints.read_text()
            await process.clean()
            assert await process.stop() == 0
