"""What a constructor checks of its parameters."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from hookrag import Above, Between, Finite, Matching
from hookrag_stores.settings import split_url

Collection: TypeAlias = Annotated[
    str,
    # Room for what a generation adds to the name; Milvus takes 255.
    Matching(
        r"[A-Za-z_][A-Za-z0-9_]{0,239}",
        "up to 240 letters, digits and underscores and not begin with a digit",
    ),
    "letters, digits, underscores; on a server the alias of the index",
]
Timeout: TypeAlias = Annotated[
    float, Finite(), Above(0, "seconds"), "seconds a call may take; longer is a transient error"
]
Generation: TypeAlias = Annotated[int | None, Between(1, 10**9 - 1), "filled in by `hookrag reindex`, on a server only"]
_GENERATION = re.compile(r"_g[0-9]+$")


def check_collection(name: str, *, served: bool) -> None:
    """ValueError where a server would take the name for a generation of another."""
    if served and _GENERATION.search(name):
        raise ValueError(f"collection must not end in _g and a number, as the generations of an index do, got {name!r}")


def check_server(uri: str | None, token_env: str | None, generation: int | None) -> None:
    """ValueError where something that only a server has is set without one, or the server's address is none."""
    if uri is not None:
        _check_uri(uri)
    elif token_env is not None:
        raise ValueError("token_env is for a server, got no uri: set uri, or leave token_env out")
    elif generation is not None:
        raise ValueError(
            "generation is for a server, got no uri: the generations of an embedded database are folders, set path"
        )


def _check_uri(uri: str) -> None:
    """ValueError where it is not the address of a server, or holds a secret; a secret is not repeated."""
    parts = split_url("uri", uri, "name the environment variable that has it by token_env")
    if parts.scheme not in ("http", "https", "tcp", "unix") or (parts.scheme != "unix" and not parts.hostname):
        raise ValueError(
            f"uri must be http://host:port or https://host:port, got {uri!r}; an embedded database needs no uri"
        )
