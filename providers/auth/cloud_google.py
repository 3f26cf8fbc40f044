"""Application Default Credentials of Google Cloud, found by google-auth (the extra ``google``).

``google.auth.default`` looks, in this order, for the file that ``GOOGLE_APPLICATION_CREDENTIALS`` names (a service account, or
workload identity federation), for what ``gcloud auth application-default login`` left, and for the metadata server of Compute
Engine, GKE and Cloud Run (google-auth 2.63; cloud.google.com/docs/authentication/application-default-credentials, 2026-11).
Imported by ``cloud`` alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

import google.auth
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import Request

from providers.auth.google import LIFETIME_S, SCOPE, GoogleToken
from providers.auth.token_cache import Issued
from providers.errors import failed


def fetch() -> Issued[GoogleToken]:
    """Blocks: asks the library to find credentials and to get a new token with them. Raises ``ProviderError``."""
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    except DefaultCredentialsError:
        raise failed("credential", "no Application Default Credentials of Google Cloud were found") from None
    except GoogleAuthError as error:
        kind = "server_error" if error.retryable else "credential"
        raise failed(kind, f"no token of Google Cloud's default credentials: {type(error).__name__}") from error
    if not credentials.token:
        raise failed("credential", "Google Cloud's default credentials hold no access token")
    quota_project: str | None = getattr(credentials, "quota_project_id", None)
    return Issued(GoogleToken(credentials.token, quota_project), _lifetime_s(credentials.expiry))


def _lifetime_s(expiry: datetime | None) -> float:
    """google-auth gives times in UTC without saying so."""
    if expiry is None:
        return LIFETIME_S
    return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
