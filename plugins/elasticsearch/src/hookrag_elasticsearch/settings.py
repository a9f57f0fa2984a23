"""What a constructor checks of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from hookrag import Embedder, Matching, Output
from hookrag_stores.settings import split_url

IndexName: TypeAlias = Annotated[
    str,
    Matching(
        r"[a-z0-9][a-z0-9._-]{0,199}",
        "up to 200 lower-case letters, digits, dots, underscores and hyphens and begin with a letter or digit",
    ),
    "an alias; the rows are in `INDEX_gGENERATION`",
]


def check_url(url: str) -> None:
    """ValueError where it is not the address of a server, or holds a secret; a secret is not repeated."""
    parts = split_url("url", url, "name the environment variables that have it by username_env and password_env")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None or parts.query:
        raise ValueError(f"url must be http://host:port or https://host:port, got {url!r}")


def check_credentials(
    url: str, username_env: str | None, password_env: str | None, api_key_env: str | None, ca_file: object
) -> None:
    """ValueError for half of a pair, for two kinds of credentials, and for an authority where nothing is encrypted."""
    if (username_env is None) != (password_env is None):
        raise ValueError("username_env and password_env belong together, got one of them")
    if username_env is not None and api_key_env is not None:
        raise ValueError("got a password and an API key, expected one kind of credentials")
    if ca_file is not None and not url.startswith("https://"):
        raise ValueError(f"ca_file is for https, got the url {url!r}: write https, or leave ca_file out")


def embedders_of(
    embedder: Embedder | None, outputs: Sequence[Literal["dense", "sparse"]] | None
) -> dict[Output, Embedder]:
    """The embedder of each kind of vectors that is kept; ValueError where it does not give them."""
    if embedder is None:
        if outputs is not None:
            raise ValueError(f"outputs are of an embedder, got {list(outputs)} and no embedder")
        return {}
    kept: list[Output] = ["dense", "sparse"]
    possible = [output for output in kept if output in embedder.outputs]
    given = ", ".join(sorted(embedder.outputs))
    if not possible or (outputs is not None and not (outputs and set(outputs) <= set(possible))):
        wanted = "dense or sparse" if outputs is None else " and ".join(outputs) or "some"
        raise ValueError(f"embedder must give {wanted} vectors, got one that gives {given}")
    return {output: embedder for output in possible if outputs is None or output in outputs}
