"""The bodies of failures: error envelopes, a proxy's HTML page, and twenty kinds of garbage."""

from __future__ import annotations

from simulator.steps import encode

HTML = b"<html><head><title>Welcome</title></head><body><h1>Please sign in to the network</h1></body></html>"

_ERRORS = {
    400: ("Invalid value for 'messages'.", "invalid_request_error", "invalid_value"),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    402: ("Insufficient Balance", "unknown_error", "invalid_request_error"),
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    413: ("Request too large.", "invalid_request_error", "request_too_large"),
    422: ("Input should be a valid string", "invalid_request_error", "unprocessable_entity"),
    429: ("Rate limit reached for requests", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request", "server_error", None),
    502: ("Bad gateway", "server_error", None),
    503: ("The engine is currently overloaded, please try again later", "server_error", "service_unavailable"),
    529: ("Overloaded", "overloaded_error", "overloaded"),
}

GARBAGE = (
    b'{"id":"chatcmpl-1","object":"chat.comp',
    b"<html><body>502 Bad Gateway</body></html>",
    b"null",
    b"[]",
    b'"text"',
    b"42",
    b"NaN",
    b'{"choices":[{"delta":{"content":"a"\xc3\x28}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"\\u12"},"finish_reason":null}]}',
    b"\x00\x01\x02",
    b'{"choices":{"0":{"delta":{}}}}',
    b'{"choices":[null]}',
    b'{"choices":[{"index":0,"delta":"text","finish_reason":null}]}',
    b'{"choices":[{"index":0,"delta":{"content":42},"finish_reason":null}]}',
    b'{"choices":[{"index":"zero","delta":{"content":[]},"finish_reason":{}}]}',
    b'{"choices":[{"index":0,"delta":{"tool_calls":"none"},"finish_reason":null}]}',
    b'{"choices":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
    b'{"id":1' + b"0" * 5_000 + b',"choices":[]}',
    b"{}{}",
    b"data: data: {}",
)


def error_body(status: int, message: str | None = None, code: str | None = None) -> bytes:
    """The OpenAI error envelope for a status."""
    text, kind, usual = _ERRORS.get(status, _ERRORS[500] if status >= 500 else _ERRORS[400])
    return encode({"error": {"message": message or text, "type": kind, "param": None, "code": code or usual}})
