"""Below the command line: what ``make run`` starts beside the gateway: vendors to route to, an account with credit, a text.

For the parent process, before workers start; everything here blocks. It must not know the
request's way: the gateway serves the demo's vendors as it serves any others, by their files in ``config``.
"""

from gateway.cli.demo.account import CREDIT_USD, KEY_FILE, ensure_account
from gateway.cli.demo.banner import LOCAL_MODEL, SIM_MODELS, banner
from gateway.cli.demo.children import DEMO_KEY_ENV, LOCAL_KEY_ENV, LOCAL_MODELS, VENDORS, Demo, DemoError, running

__all__ = [
    "CREDIT_USD",
    "DEMO_KEY_ENV",
    "KEY_FILE",
    "LOCAL_KEY_ENV",
    "LOCAL_MODEL",
    "LOCAL_MODELS",
    "SIM_MODELS",
    "VENDORS",
    "Demo",
    "DemoError",
    "banner",
    "ensure_account",
    "running",
]
