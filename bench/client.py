"""The bench's own load client, a process of its own: wrk knows neither a fixed arrival rate nor server-sent events.

Reads one JSON job on stdin (``kind`` is ``rate`` or ``streams``), writes one JSON result on stdout.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import uvloop

from bench import arrivals, streams


async def work(job: dict[str, Any]) -> dict[str, Any]:
    """Raises KeyError when the job lacks a field."""
    if job["kind"] == "rate":
        return await arrivals.OpenLoop(job).run()
    return await streams.run(job)


if __name__ == "__main__":
    gc.disable()  # a collection in the client would look like a stall of the target
    print(json.dumps(uvloop.run(work(json.load(sys.stdin)))))
