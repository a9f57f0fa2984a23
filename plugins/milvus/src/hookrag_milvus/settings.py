"""What a constructor checks of its parameters."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_SECRETS = frozenset({"token", "password", "api_key", "apikey", "key", "secret"})


def check_collection(name: str) -> None:
    """ValueError where a server would not take the name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"collection must be up to 255 letters, digits and underscores and not begin with a digit, got {name!r}"
        )


def check_range(name: str, value: int, low: int, high: int) -> None:
    """ValueError where the value is not in [low, high]."""
    if not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")


def check_uri(uri: str) -> None:
    """ValueError where it is not the address of a server, or holds a secret; a secret is not repeated."""
    try:
        parts = urlsplit(uri)
        secret = parts.username is not None or parts.password is not None
    except ValueError:
        raise ValueError("uri is not a URL, expected http://host:port or https://host:port") from None
    if secret or any(name.lower() in _SECRETS for name, _ in parse_qsl(parts.query)):
        raise ValueError("uri holds a secret: take it out, and name the environment variable that has it by token_env")
    if parts.scheme not in ("http", "https", "tcp", "unix") or (parts.scheme != "unix" and not parts.hostname):
        raise ValueError(
            f"uri must be http://host:port or https://host:port, got {uri!r}; an embedded database needs no uri"
        )
