"""Chunks and cards come back as they were, and are written as databases have them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hookrag import Card, Chunk, HookragError, ItemRejected
from hookrag_stores.rows import card_fields, card_from, card_json, chunk_from, new_card, rest_of
from hypothesis import given
from hypothesis import strategies as st

CHUNK = Chunk("c", "d", "text", 3, 7, "Title", "p", ("s", "t"), {"lang": "dé", "n": [1, None, {"a": 2.5}]})
JSON = '"start":3,"end":7,"parent":"p","sources":["s","t"],"metadata":{"lang":"dé","n":[1,null,{"a":2.5}]}}'
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_what_is_written_is_what_databases_have():
    assert rest_of(CHUNK) == '{"context":"Title",' + JSON
    assert rest_of(CHUNK, context=False) == "{" + JSON
    card = Card("u", "o", 3, 2, {"metric": "IP", "dim": 3})
    assert card_json(card) == (
        '{"epoch": 3, "generation": 2, "identity": {"dim": 3, "metric": "IP"}, "owner": "o", "uuid": "u"}'
    )
    assert list(card_fields(card)) == ["uuid", "owner", "epoch", "generation", "identity"]


@given(st.dictionaries(st.text(), json, max_size=4), st.text(), st.none() | st.text(), st.lists(st.text(), max_size=2))
def test_a_chunk_comes_back(metadata, context, parent, sources):
    chunk = Chunk("c", "d", "text", 3, 7, context, parent, tuple(sources), metadata)
    assert chunk_from("c", "d", "text", rest_of(chunk)) == chunk
    assert chunk_from("c", "d", "text", rest_of(chunk, context=False), context) == chunk


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({1: "a"}, "its metadata have a key that is not a string"),
        ({"a": {1, 2}}, "its metadata are not JSON values: Object of type set is not JSON serializable"),
    ],
)
def test_metadata_that_json_cannot_hold_are_refused(metadata, reason):
    with pytest.raises(ItemRejected) as error:
        rest_of(replace(CHUNK, metadata=metadata))
    assert str(error.value) == reason


def test_a_card_comes_back_and_a_new_one_is_new():
    for card in (new_card(), new_card(4), Card("u", "o", 3, 2, {"metric": "IP", "none": None})):
        assert card_from(card_json(card), "here", "") == card
        assert Card(**card_fields(card)) == card
    assert new_card().uuid != new_card().uuid
    assert (new_card().generation, new_card(4).generation) == (1, 4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"uuid": "u"}', "null"])
def test_a_damaged_card_is_named(text):
    with pytest.raises(HookragError) as error:
        card_from(text, "http://host", "restore it")
    assert str(error.value) == (f"http://host: the card is damaged (got {text!r}, expected a JSON object): restore it")
