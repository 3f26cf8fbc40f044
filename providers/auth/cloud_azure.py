"""Tokens of Microsoft Entra ID for the identity that Azure gives to a machine, found by azure-identity (the extra ``azure``).

``DefaultAzureCredential`` tries the environment, workload identity (``AZURE_FEDERATED_TOKEN_FILE``), managed identity
(``IDENTITY_ENDPOINT`` or the instance metadata service) and the tools of developers, such as ``az login`` (azure-identity 1.27;
learn.microsoft.com/python/api/azure-identity/azure.identity.defaultazurecredential, 2026-11). Imported by ``cloud`` alone.
"""

from __future__ import annotations

import time

from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from providers.auth.token_cache import Issued
from providers.errors import failed


def fetch(*, scope: str, authority: str | None) -> Issued[str]:
    """Blocks: a new access token for ``scope``, since a new credential object has none. ``authority`` None: what the environment
    (``AZURE_AUTHORITY_HOST``) or the public cloud says. Raises ``ProviderError``."""
    began = time.time()
    try:
        with DefaultAzureCredential(authority=authority) as credential:
            token = credential.get_token_info(scope)
    except ClientAuthenticationError as error:
        name = type(error).__name__
        raise failed("credential", f"no token from Entra ID by the default chain: {name}") from error
    except (ValueError, OSError) as error:  # settings that contradict each other, a token file that cannot be read
        raise failed("credential", f"no token from Entra ID by the default chain: {type(error).__name__}") from error
    except AzureError as error:
        raise failed("server_error", f"no token from Entra ID by the default chain: {type(error).__name__}") from error
    return Issued(token.token, token.expires_on - began)
