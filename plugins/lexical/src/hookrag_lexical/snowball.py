"""The stemmers of the Snowball project, as PyStemmer has them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import Stemmer  # type: ignore[import-not-found]  # compiled, and without types

LANGUAGES = (
    "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian", "norwegian", "portuguese",
    "romanian", "russian", "spanish", "swedish", "turkish",
)  # fmt: skip
VERSION: str = Stemmer.version()


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
