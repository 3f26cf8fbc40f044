"""A server of the Model Context Protocol over standard input and output, with one tool. Nothing but the standard library."""

import json
import sys

TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def answer(request: dict) -> dict:
    """The result of a request, by its method."""
    method = request["method"]
    if method == "initialize":
        server = {"name": "weather", "version": "1"}
        return {
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": server,
        }
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": f"Sunny in {request['params']['arguments']['city']}."}]}
    return {}


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}), flush=True)
