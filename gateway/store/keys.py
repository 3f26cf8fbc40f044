"""The name of every key in Redis, except those of health and of analytics.

The ledger is cut into 4,096 buckets; a bucket's keys share one hash tag, hence one cluster slot, hence one atomic
script. Bucket of an organisation = CRC-16 of its id modulo 4,096. The first three characters of an API key's organisation
code are its bucket, so that a caller is found without a look-up.
"""

from __future__ import annotations

import binascii
import hashlib
from functools import lru_cache

BUCKETS = 4096
HOUR_S = 3600

ORGANIZATIONS = "{tw}:orgs"
"""Hash: organisation id → JSON of its name and time. Written before anything of the organisation can exist."""
ORGANIZATIONS_BY_AGE = "{tw}:orgs:age"
"""Sorted set: organisation id by creation time in s. Completed from the hash when it is read."""
ORGANIZATION_ANALYTICS = "{tw}:orgs:analytics"
"""Hash: organisation id → JSON of what it lets analytics see, where that is not the default."""
READY = "{tw}:ready"
"""Written to find out whether the store takes writes; expires after a minute."""
BUCKETS_IN_USE = "{tw}:buckets"
"""Set: hash tags of all buckets that contain an organisation. The expiry of holds and searches go through them."""
KEY_OWNERS = "{tw}:keys"
"""Hash: API key hash → organisation id. Written before the key itself, so a usable key is always found."""
KEYS_BY_AGE = "{tw}:keys:age"
"""Sorted set: API key hash by creation time in ms."""
DOUBTFUL_KEYS = "{tw}:keys:doubt"
"""Sorted set as ``KEYS_BY_AGE``: at least those of its keys that a list may leave out, as they are disabled or have an expiry.
So a list by offset need not look at each key."""
DOUBTFUL_KEYS_COMPLETE = "{tw}:keys:doubt:complete"
"""String: the keys of versions before these sets have been looked at."""
CLOSING_LEASE = "{tw}:closing:lease"
"""String: which process closes the books now. It expires by itself."""
CLOSED_UPTO = "{tw}:closing:upto"
"""String: the position of the archive's journal up to which its lines have left the store."""
BOOKS = "{tw}:books"
"""String: a random name of this store's books, as old as they are; the archive into which they are closed bears it."""
SUPERSEDED = "{tw}:closing:superseded"
"""String, JSON: ``[[after ms, until ms]]``: what the archive has of these times was lost when an older copy of the store was put in
its place."""
CONVERSATIONS = "tw:conversations"
"""Stream ``w t``: a process, and the last turns of conversations that it has answered. Bounded; it expires by itself."""


def bucket(org: str) -> int:
    """The organisation's bucket, 0 to 4,095."""
    return binascii.crc_hqx(org.encode(), 0) % BUCKETS


def org_code(org: str) -> str:
    """Eight characters for the API keys of an organisation: its bucket in three hex digits, then five of its digest."""
    return f"{bucket(org):03x}{hashlib.sha256(org.encode()).hexdigest()[:5]}"


def code_tag(code: str) -> str:
    """Hash tag of the bucket that an API key's organisation code names. Raises ValueError for another form."""
    return bucket_tag(int(code[:3], 16))


def bucket_tag(number: int) -> str:
    """``{l7}``."""
    return f"{{l{number}}}"


@lru_cache(maxsize=65_536)
def tag(org: str) -> str:
    """Hash tag of an organisation's bucket."""
    return bucket_tag(bucket(org))


def organization(org: str) -> str:
    """Hash ``bal hold seq used``: the organisation's account. ``rate meter``: its rate limits, and how much of them is used."""
    return f"{tag(org)}:o:{org}"


def journal(org: str) -> str:
    """Stream: the organisation's postings, oldest first, never edited; those before the last closing are in the archive."""
    return f"{tag(org)}:j:{org}"


def closing(org: str) -> str:
    """Hash: the sums of all postings that are in the archive, and the digest of them."""
    return f"{tag(org)}:cl:{org}"


def grants(org: str) -> str:
    """Hash: id of a credit grant → its amount and result; kept for ever."""
    return f"{tag(org)}:g:{org}"


def org_keys(org: str) -> str:
    """Sorted set: hashes of all API keys the organisation ever had, by creation time in ms."""
    return f"{tag(org)}:ko:{org}"


def doubtful_org_keys(org: str) -> str:
    """Sorted set as ``org_keys``: at least those of its keys that a list may leave out; deleted ones, too."""
    return f"{tag(org)}:kd:{org}"


def api_key(org_tag: str, key_hash: str) -> str:
    """Hash: policy and counters of one API key."""
    return f"{org_tag}:k:{key_hash}"


def hold(org_tag: str, generation_id: str) -> str:
    """Hash ``a x o k l p c f w``: an open hold and its last checkpoint."""
    return f"{org_tag}:h:{generation_id}"


def holds_by_expiry(org_tag: str) -> str:
    """Sorted set: open holds of the bucket by expiry in ms, for finding the overdue ones."""
    return f"{org_tag}:hx"


def running(org_tag: str, subject: str) -> str:
    """Sorted set: open holds of a key (``k:<hash>``) or organisation (``o:<id>``) that may run only so many at once, by the time
    in ms at which it is looked whether they still run."""
    return f"{org_tag}:c:{subject}"


def done(org_tag: str, hour: str) -> str:
    """Hash: id → result, for all ids of one hour; the dedupe memory."""
    return f"{org_tag}:d:{hour}"


def hour(generation_id: str) -> str:
    """The hour an id was made in. The id carries its time: ``gen-<unix seconds, 10 digits>-<20>``."""
    return str(int(generation_id[4:14]) // HOUR_S)


def record(org_tag: str, generation_id: str) -> str:
    """String ``<paid nano>:<record>`` with a time to live."""
    return f"{org_tag}:r:{generation_id}"


def stale(org_tag: str) -> str:
    """Hash: id → posting that came after its dedupe memory was gone; the operator decides, nothing is charged blindly."""
    return f"{org_tag}:stale"
