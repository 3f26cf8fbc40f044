"""The text that ``tokenway demo`` prints once everything runs."""

from __future__ import annotations

from pathlib import Path

from gateway.cli.demo.account import CREDIT_USD, KEY_FILE

LOCAL_MODEL = "huggingfacetb/smollm2-135m-instruct"
SIM_MODELS = "sim/echo sim/fast sim/slow sim/flaky sim/reasoner sim/tools sim/cut"


def banner(
    base_url: str, key: str, *, data_dir: Path, admin_key_place: str, has_model: bool, has_year: bool = False
) -> str:
    """The banner; every command after ``Try it`` works when pasted into a shell.

    ``base_url``: such as ``http://127.0.0.1:8080/api/v1``. ``admin_key_place``: where the management key is, never the key.
    """
    model = LOCAL_MODEL if has_model else "sim/echo"
    real = f"\n              {LOCAL_MODEL} (a real model, sold by local-a and local-b)" if has_model else ""
    origin = base_url.removesuffix("/api/v1")
    rankings = (
        f"{origin}/rankings ({'a made-up year' if has_year else 'tokenway demo --year fills them with a made-up year'})"
    )
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is a gateway?"}}], "max_tokens": 80'
    auth = f"-H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
    request = f"curl {base_url}/chat/completions {auth}"
    python = (
        f"from openai import OpenAI; c = OpenAI(base_url='{base_url}', api_key='{key}'); "
        f"print(c.chat.completions.create(model='{model}', messages=[{{'role': 'user', 'content': 'Hello!'}}], max_tokens=40)"
        ".choices[0].message.content)"
    )
    return f"""
Tokenway is up.

  Base URL    {base_url}
  API key     {key}
              (${CREDIT_USD} of credit; kept in {data_dir / KEY_FILE})
  Admin key   {admin_key_place}
  Models      {SIM_MODELS}{real}
  Rankings    {rankings}

Try it:

  {request} -d '{body}}}'

  curl -N {request.removeprefix("curl ")} -d '{body}, "stream": true}}'

  curl {base_url}/credits -H 'Authorization: Bearer {key}'

With an SDK (pip install openai):

  python -c "{python}"

Ctrl-C stops everything.
"""
