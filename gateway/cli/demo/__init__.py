"""What ``tokenway demo`` (``make run``) adds to the gateway: vendors to route to, an account with credit, a banner.

It runs in the parent process before workers start, and its calls block. It must not know how requests are served: the
gateway routes to the demo's vendors as to any others, by their files in ``config``.
"""

from gateway.cli.demo.account import CREDIT_USD, KEY_FILE, ensure_account
from gateway.cli.demo.banner import LOCAL_MODEL, SIM_MODELS, banner
from gateway.cli.demo.children import (
    DEMO_KEY_ENV,
    LOCAL_KEY_ENV,
    LOCAL_MODELS,
    VENDORS,
    DemoError,
    DemoVendors,
    running_vendors,
)

__all__ = [
    "CREDIT_USD",
    "DEMO_KEY_ENV",
    "KEY_FILE",
    "LOCAL_KEY_ENV",
    "LOCAL_MODEL",
    "LOCAL_MODELS",
    "SIM_MODELS",
    "VENDORS",
    "DemoError",
    "DemoVendors",
    "banner",
    "ensure_account",
    "running_vendors",
]
