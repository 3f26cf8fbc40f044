"""Access keys found by the credential chain of botocore (the extra ``aws``).

Profiles with their ``assume_role``, SSO and ``credential_process``, web identity (EKS), container credentials (ECS, EKS Pod
Identity) and the instance metadata service of EC2, in botocore's order (botocore 1.44, ``credentials.py``; docs.aws.amazon.com/
sdkref/latest/guide/standardized-credentials.html, 2026-11). Imported by ``cloud`` alone.
"""

from __future__ import annotations

from typing import Final

from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.session import Session

from providers.auth.sigv4 import AccessKeys
from providers.auth.token_cache import Issued
from providers.errors import failed

LIFETIME_STATIC_S: Final = 300.0
"""Keys that do not expire come from a file, which somebody may change."""
_LIFETIMES_S: Final = (21_600, 10_800, 3600, 2700, 1800, 900, 600, 300, 60)
"""botocore says only whether keys expire within a given time, so a lifetime is rounded down to one of these."""


def fetch() -> Issued[AccessKeys]:
    """Blocks: a new session finds new keys, whatever an earlier one found. Raises ``ProviderError``."""
    try:
        credentials = Session().get_credentials()
        keys = credentials and credentials.get_frozen_credentials()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        kind = "server_error" if status >= 500 or status == 429 else "credential"
        raise failed(kind, f"no credentials of AWS: {code}", status=status or None) from error
    except HTTPClientError as error:
        raise failed("server_error", f"no credentials of AWS: {type(error).__name__}") from error
    except (BotoCoreError, OSError, RuntimeError) as error:  # RuntimeError: keys that were expired when they came
        raise failed("credential", f"no credentials of AWS: {type(error).__name__}") from error
    if not keys or not keys.access_key or not keys.secret_key:
        raise failed("credential", "botocore's credential chain found no credentials of AWS")
    lifetime_s = LIFETIME_STATIC_S
    if isinstance(credentials, RefreshableCredentials):
        lifetime_s = next((float(each) for each in _LIFETIMES_S if not credentials.refresh_needed(each)), 0.0)
    return Issued(AccessKeys(keys.access_key, keys.secret_key, keys.token), lifetime_s)
