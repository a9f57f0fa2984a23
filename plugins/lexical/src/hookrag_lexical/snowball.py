"""The stemmers of the Snowball project, as PyStemmer has them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from threading import Lock

import Stemmer  # type: ignore[import-not-found]  # compiled, and without types

LANGUAGES = (
    "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian", "norwegian", "portuguese",
    "romanian", "russian", "spanish", "swedish", "turkish",
)  # fmt: skip
LONGEST = 255
"""Longer words are left as they are: some algorithms take time by the square of the length."""


def described(algorithm: str) -> str:
    """What the stems of an algorithm depend on. The release counts: several say that they are the same version of Snowball."""
    return f"{algorithm}, Snowball of PyStemmer {version('PyStemmer')}, words to {LONGEST} characters"


def stem_words(algorithm: str) -> Callable[[str], str]:
    """What stems words by that algorithm.

    >>> stem_words("german")("häuser")
    'haus'
    """
    stemmer = Stemmer.Stemmer(algorithm, 0)
    lock = Lock()  # a stemmer works in a buffer of its own

    def stem(word: str) -> str:
        with lock:
            stemmed: str = stemmer.stemWord(word)
        return stemmed

    return stem
