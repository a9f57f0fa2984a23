"""What a constructor checks of its parameters."""

from __future__ import annotations

import math
import re

from hookrag_stores.settings import split_url

# Room for what a generation adds to the name; Milvus takes 255.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,239}")
_GENERATION = re.compile(r"_g[0-9]+$")


def check_collection(name: str, *, served: bool) -> None:
    """ValueError where a server would not take the name, or would take it for a generation of another."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"collection must be up to 240 letters, digits and underscores and not begin with a digit, got {name!r}"
        )
    if served and _GENERATION.search(name):
        raise ValueError(f"collection must not end in _g and a number, as the generations of an index do, got {name!r}")


def check_place(uri: str | None, token_env: str | None, generation: int | None) -> None:
    """ValueError where something that only a server has is set without one, or the server's address is none."""
    if uri is not None:
        _check_uri(uri)
    elif token_env is not None:
        raise ValueError("token_env is for a server, got no uri: set uri, or leave token_env out")
    elif generation is not None:
        raise ValueError(
            "generation is for a server, got no uri: the generations of an embedded database are folders, set path"
        )
    if generation is not None and not 1 <= generation < 10**9:
        raise ValueError(f"generation must be in [1, {10**9 - 1}], got {generation}")


def check_timeout(timeout: float) -> None:
    """ValueError where it is no time."""
    if not 0 < timeout < math.inf:
        raise ValueError(f"timeout must be a number of seconds over 0, got {timeout}")


def _check_uri(uri: str) -> None:
    """ValueError where it is not the address of a server, or holds a secret; a secret is not repeated."""
    parts = split_url("uri", uri, "name the environment variable that has it by token_env")
    if parts.scheme not in ("http", "https", "tcp", "unix") or (parts.scheme != "unix" and not parts.hostname):
        raise ValueError(
            f"uri must be http://host:port or https://host:port, got {uri!r}; an embedded database needs no uri"
        )
