"""The published OpenAPI page is true: schemathesis throws what it can at every operation of it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.support.gateway import ADMIN_KEY
from tests.support.management import Managed

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 4
"""For each operation; some 700 requests in all."""


async def _schemathesis(managed: Managed, tmp_path: Path, secret: str, *more: str) -> str:
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{managed.gateway.url}/openapi.json", "-H", f"Authorization: Bearer {secret}"),
        *("--checks", CHECKS, "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing", "--seed", "7"),
        *("--suppress-health-check", "all", "--generation-database", "none", "--no-color", *more),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == 0, said[-8000:]
    return said


async def test_schemathesis_with_the_management_key(managed: Managed, tmp_path: Path) -> None:
    """No 5xx, no undocumented status or type, every answer as described; afterwards the books still balance."""
    said = await _schemathesis(managed, tmp_path, ADMIN_KEY)
    assert "passed" in said
    assert (await managed.admin.get("/api/v1/admin/audit")).status_code == 200


async def test_schemathesis_with_an_inference_key(managed: Managed, tmp_path: Path) -> None:
    """The same for a caller: inference included, every management route refuses as documented."""
    key = await managed.gateway.key("5")
    said = await _schemathesis(managed, tmp_path, key)
    assert "passed" in said
    await managed.gateway.settled()
    assert (await managed.admin.get("/api/v1/admin/audit")).status_code == 200
