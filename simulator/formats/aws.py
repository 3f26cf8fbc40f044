"""What Amazon's services use beside JSON: event-stream frames out, signatures (version 4) in.

docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (frames: prelude, CRC-32s) and docs.aws.amazon.com/IAM/latest/
UserGuide/reference_sigv-create-signed-request.html (2026-11).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from simulator.http import Request

_STRING: Final = 7
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=[^/,]+/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request), ?"
    r"SignedHeaders=(?P<names>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of ``application/vnd.amazon.eventstream``."""
    head = b"".join(
        struct.pack(f">B{len(name)}sBH", len(name), name.encode(), _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def event(name: str, payload: bytes) -> bytes:
    """One event of a stream."""
    kind = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(kind, payload)


def exception(name: str, payload: bytes) -> bytes:
    """The end of a stream that failed."""
    kind = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(kind, payload)


def signed_with(request: Request, secret: str) -> bool:
    """The request's signature was made with this secret, over its body, path and headers as they arrived."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if found is None or "host" not in found["names"].split(";"):
        return False
    names = found["names"].split(";")
    canonical = "\n".join(
        [
            request.method,
            quote(request.path, safe="/-_.~"),  # every service but S3 encodes the encoded path once more
            "&".join(sorted(request.query.split("&"))) if request.query else "",
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            found["names"],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    stamp = request.headers.get("x-amz-date", "")
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, found["scope"], hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in (found["day"], found["region"], found["service"], "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    made = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return stamp.startswith(found["day"]) and hmac.compare_digest(made, found["signature"])
