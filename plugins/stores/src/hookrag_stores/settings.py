"""What the constructors of stores check of their parameters besides the limits of each. They raise ValueError."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlsplit

from hookrag import Embedder, Output

_SECRETS = frozenset({"token", "password", "api_key", "apikey", "key", "secret"})


def check_gives(embedder: Embedder, output: Output) -> None:
    """The embedder gives vectors of the one kind that the store keeps."""
    if output not in embedder.outputs:
        given = ", ".join(sorted(embedder.outputs))
        raise ValueError(
            f"embedder must give {output} vectors, got one that gives {given}: keep those in another store"
        )


def split_url(name: str, url: str, secrets: str) -> SplitResult:
    """The parts of the address of a server, which must not hold a secret: one that does is not repeated in the error.

    `secrets` says where secrets belong, as "name the environment variable that has it by token_env".
    """
    try:
        parts = urlsplit(url)
        secret = parts.username is not None or parts.password is not None
        _ = parts.port  # raises where it is none
    except ValueError:
        raise ValueError(f"{name} is not a URL, expected http://host:port or https://host:port") from None
    if secret or any(one.lower() in _SECRETS for one, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ValueError(f"{name} holds a secret: take it out, and {secrets}")
    return parts
