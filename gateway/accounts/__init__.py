"""Who may call. Organisations, their API keys, and the policy of each key.

It must not know: balances (the ledger moves credits), requests, models, HTTP.
"""

from gateway.accounts.accounts import Accounts
from gateway.accounts.views import (
    DEFAULT_ORG,
    UNSET,
    KeyChange,
    KeyChoice,
    KeyView,
    Organization,
    OrganizationAnalytics,
    Unset,
)
from gateway.store.policy import KeyPolicy

__all__ = [
    "DEFAULT_ORG",
    "UNSET",
    "Accounts",
    "KeyChange",
    "KeyChoice",
    "KeyPolicy",
    "KeyView",
    "Organization",
    "OrganizationAnalytics",
    "Unset",
]
