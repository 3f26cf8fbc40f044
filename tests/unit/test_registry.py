"""The table of dialects: everything in it can be made, and nothing is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from providers import registry
from providers.auth import cloud
from providers.base import Dialect
from tests.support.process import ROOT


@pytest.mark.parametrize("name", registry.names())
def test_every_place_is_a_dialect(name: str) -> None:
    """Each operation of each name is made once, and is what the table says it is."""
    for operation in registry.operations(name):
        made = registry.dialect(name, operation)
        assert (made.name, made.operation) == (name, operation)
        assert registry.dialect(name, operation) is made
        assert made.authorizes is (type(made).authorize is not Dialect.authorize), "authorize would never be called"


def test_tokens_are_shared() -> None:
    """The operations of a dialect that fetch access tokens or keys keep one cache of them."""
    assert len({id(registry.dialect("azure", each)._tokens) for each in registry.operations("azure")}) == 1  # type: ignore[attr-defined]
    assert len({id(registry.dialect("bedrock", each)._keys) for each in registry.operations("bedrock")}) == 1  # type: ignore[attr-defined]


def test_clouds_are_named() -> None:
    """Every dialect that authorizes its requests can use the credential chain of a cloud, and no other."""
    for name in registry.names():
        found = registry.cloud_of(name)
        assert (found is not None) == registry.dialect(name).authorizes
        assert found is None or found in cloud.CLOUDS


def test_nothing_is_imported_before_it_is_used() -> None:
    """A start does not pay for dialects that its catalogue has no key for."""
    script = "import sys, gateway.app; print(*(name for name in sys.modules if name.startswith('providers.')))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "providers.registry" in loaded
    assert not {
        "providers.bedrock.dialect",
        "providers.vertex.dialect",
        "providers.auth.google",
        "providers.auth.entra",
    } & set(loaded)


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    """A wrong name, and an operation that a dialect has not, say what there is."""
    for name, operation in (("nobody", "chat"), ("ollama", "speech")):
        with pytest.raises(KeyError, match="known are: anthropic, azure"):
            registry.dialect(name, operation)
