"""Texts → vectors, with the word vectors of the package ``wordllama`` (256 dimensions, MIT licence).

Its own loader looks for the tokenizer in a folder that its wheel does not have, and then downloads it (0.4.0.post1), so both files
are read here: nothing is fetched, and nothing of the package is run. It must not know: labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
PACKAGES = ("wordllama", "numpy", "safetensors", "tokenizers")
INSTALL = "pip install 'tokenway[classify]'"
TOKENS_MAX = 1_000


class NotInstalled(Exception):
    """The extra ``classify`` is missing, or its files are not where they were. The message says what to do."""


def require() -> Path:
    """The folder of the package. Raises NotInstalled."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise NotInstalled(f"{', '.join(missing)} cannot be imported; install with: {INSTALL}")
    spec = find_spec("wordllama")
    folder = Path((spec.submodule_search_locations or ["."])[0]) if spec is not None else Path()
    if not (folder / WEIGHTS).is_file() or not (folder / TOKENIZER).is_file():
        raise NotInstalled(f"this version of wordllama lacks {WEIGHTS} or {TOKENIZER}; install with: {INSTALL}")
    return folder


class Vectors(msgspec.Struct, eq=False):
    """One per process. About 120 MB of memory once loaded."""

    _rows: Any
    _tokenizer: Any
    _numpy: Any

    def of(self, text: str) -> Any:
        """The mean of the vectors of the text's tokens, of length 1; zeros for a text without any."""
        plain = text.encode("utf-8", "replace").decode()  # the tokenizer refuses halves of surrogate pairs
        return self._mean(self._tokenizer.encode(plain, add_special_tokens=False).ids)

    def of_all(self, texts: Sequence[str]) -> Any:
        """One row a text."""
        return self._numpy.stack([self.of(text) for text in texts])

    def _mean(self, tokens: Sequence[int]) -> Any:
        numpy = self._numpy
        if not tokens:
            return numpy.zeros(self._rows.shape[1], dtype=numpy.float32)
        mean = self._rows[tokens[:TOKENS_MAX]].astype(numpy.float32).mean(axis=0)
        return mean / (float(numpy.linalg.norm(mean)) or 1.0)


def load() -> Vectors:
    """Read the files: a second of CPU. Raises NotInstalled."""
    folder = require()
    numpy, safetensors = import_module("numpy"), import_module("safetensors.numpy")
    rows: Any = safetensors.load_file(folder / WEIGHTS)["embedding.weight"]
    tokenizer: Any = import_module("tokenizers").Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Vectors(rows, tokenizer, numpy)
