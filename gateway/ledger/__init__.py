"""Who has how much. Holds, postings, the journal, and the proof that they agree.

It must not know: models, prices, tokens, HTTP, how a key is minted. It is told amounts and moves them.
"""

from gateway.ledger.entries import (
    AuditReport,
    Balances,
    Difference,
    Entry,
    GrantResult,
    Hold,
    OpenHold,
    Posting,
    Receipt,
    Record,
    StalePolicy,
    StalePosting,
    generation_id,
)
from gateway.ledger.ledger import Ledger
from gateway.store.policy import KeyPolicy

__all__ = [
    "AuditReport",
    "Balances",
    "Difference",
    "Entry",
    "GrantResult",
    "Hold",
    "KeyPolicy",
    "Ledger",
    "OpenHold",
    "Posting",
    "Receipt",
    "Record",
    "StalePolicy",
    "StalePosting",
    "generation_id",
]
