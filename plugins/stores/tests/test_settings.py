"""What a constructor refuses, in whole sentences; a secret is not repeated."""

from __future__ import annotations

import types

import pytest
from hookrag_stores.settings import check_gives, split_url

WHERE = "name the environment variable that has it by token_env"


def refusal(check, *arguments):
    with pytest.raises(ValueError) as error:
        check(*arguments)
    return str(error.value)


def test_an_embedder_of_other_vectors():
    embedder = types.SimpleNamespace(outputs=frozenset({"sparse", "multi"}))
    check_gives(embedder, "sparse")
    assert refusal(check_gives, embedder, "dense") == (
        "embedder must give dense vectors, got one that gives multi, sparse: keep those in another store"
    )


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter2@host:1", "http://:hunter2@host", "http://host/?api_key=hunter2", "http://host/?TOKEN=hunter2"],
)
def test_a_secret_in_a_url_is_refused_and_not_repeated(url):
    assert refusal(split_url, "uri", url, WHERE) == f"uri holds a secret: take it out, and {WHERE}"


@pytest.mark.parametrize("url", ["http://[::1", "http://host:port", "http://host:99999", "http://hunter2@[::1"])
def test_what_is_no_url_is_not_repeated_either(url):
    assert refusal(split_url, "url", url, WHERE) == "url is not a URL, expected http://host:port or https://host:port"


def test_a_url_in_its_parts():
    parts = split_url("url", "https://host:9200/path?timeout=3", WHERE)
    assert (parts.scheme, parts.hostname, parts.port, parts.path) == ("https", "host", 9200, "/path")
