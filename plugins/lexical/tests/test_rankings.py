"""The other formulas, several fields, boosts and feedback, against bm25s and against twins over plain dicts."""

from __future__ import annotations

import math
from collections import Counter

import bm25s
import numpy as np
import pytest
from hookrag import Chunk, IdentityError, Row, ScoreKind, parse_filter
from hookrag_lexical.store import Lexical

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
QUERIES = ["ant", "bee cat", "ant fox fox gnu", "hen unknown", "eel dog cat bee ant"]
SPLIT = ["unicode-words"]


def texts_of(seed, n=60):
    rng = np.random.default_rng(seed)
    weights = 0.5 ** np.arange(len(WORDS))
    return {f"{at:03}": " ".join(rng.choice(WORDS, rng.integers(1, 40), p=weights / weights.sum())) for at in range(n)}


def made(path, rows, **settings):
    store = Lexical(chunker=None, path=path, **{"analyzer": SPLIT, **settings})
    store.open()
    assert store.put(rows, version=1) == {}
    store.sync()
    return store


def plain_rows(texts):
    return [Row(Chunk(name, "d", text, 0, len(text)), "", 0) for name, text in texts.items()]


def scores_of(store, query, **settings):
    [hits] = store.search_text([query], k=1000, **{"where": None, **settings})
    return {hit.chunk.id: hit.score for hit in hits}


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire", "bm25+", "bm25l"])
def test_scores_are_those_of_bm25s(tmp_path, method):
    texts = texts_of(1)
    names = list(texts)
    settings = {} if method in ("lucene", "robertson", "atire") else {"delta": 0.7}
    other = bm25s.BM25(method=method, k1=1.2, b=0.6, **settings)
    other.index([text.split() for text in texts.values()], show_progress=False)
    store = made(tmp_path, plain_rows(texts), method=method, k1=1.2, b=0.6, **settings)
    for query in QUERIES:
        expected = dict.fromkeys(names, 0.0)
        for word in query.split():
            if word not in WORDS:
                continue
            for name, score in zip(names, other.get_scores([word]), strict=True):
                # There, bm25+ and bm25l give every row something for a word that it lacks; as published, nothing.
                expected[name] += float(score) if word in texts[name].split() else 0.0
        found = scores_of(store, query)
        shared = {name for name in names if set(query.split()) & set(texts[name].split())}
        assert found == pytest.approx({name: expected[name] for name in shared}, abs=1e-5)


def test_tf_idf_is_the_published_formula(tmp_path):
    texts = texts_of(2)
    store = made(tmp_path, plain_rows(texts), method="tf-idf", b=0.3)
    lengths = {name: len(text.split()) for name, text in texts.items()}
    average = sum(lengths.values()) / len(lengths)
    for query in QUERIES:
        expected = {}
        for name, text in texts.items():
            for word, times in Counter(query.split()).items():
                tf = text.split().count(word)
                df = sum(word in other.split() for other in texts.values())
                if tf:
                    moved = tf / (0.7 + 0.3 * lengths[name] / average) + 1.0
                    worth = (1 + math.log(1 + math.log(moved))) * math.log((len(texts) + 1) / df)
                    expected[name] = expected.get(name, 0.0) + times * worth
        assert scores_of(store, query) == pytest.approx(expected, abs=1e-5)


def field_rows(seed):
    rng = np.random.default_rng(seed)
    some = lambda least, most: " ".join(rng.choice(WORDS, rng.integers(least, most)))  # noqa: E731
    rows = []
    for at in range(50):
        tags = [some(1, 3) for _ in range(rng.integers(0, 4))]
        metadata = {"tags": tags, "year": at} if at % 3 else {"tags": some(1, 2), "n": 1}
        text = some(0, 30)
        rows.append(Row(Chunk(f"{at:02}", "d", text, 0, len(text), some(0, 4), metadata=metadata), "", 0))
    return rows


def bm25f_twin(rows, query, *, k1, fields):
    """{chunk id: score}, with fields = {name: (weight, b)}."""

    def words(row, field):
        tags = row.chunk.metadata.get("tags", [])
        whole = {
            "text": row.chunk.text,
            "context": row.chunk.context,
            "tags": " ".join([tags] if isinstance(tags, str) else tags),
        }
        return whole[field].split()

    lengths = {field: {row.chunk.id: len(words(row, field)) for row in rows} for field in fields}
    average = {field: np.mean([n for n in held.values() if n]) for field, held in lengths.items()}
    n = sum(any(lengths[field][row.chunk.id] for field in fields) for row in rows)
    scores = {}
    for word, times in Counter(query.split()).items():
        tf = {}
        for row in rows:
            name = row.chunk.id
            for field, (weight, b) in fields.items():
                if weight and word in words(row, field):
                    normal = 1 - b + b * lengths[field][name] / average[field]
                    tf[name] = tf.get(name, 0.0) + weight * words(row, field).count(word) / normal
        for name, value in tf.items():
            idf = math.log(1 + (n - len(tf) + 0.5) / (len(tf) + 0.5))
            scores[name] = scores.get(name, 0.0) + times * idf * value / (k1 + value)
    return scores


def test_fields_are_bm25f_and_weights_may_change_without_indexing_again(tmp_path):
    rows = field_rows(3)
    weights = {"text": 1.0, "title": 2.0, "metadata.tags": 0.5}
    store = made(tmp_path, rows[:30], fields=weights)
    store.drop([rows[3].chunk.id, rows[4].chunk.id], version=2)
    store.sync()
    store.put([*rows[30:], rows[4]], version=3)
    store.sync()
    kept = [row for row in rows if row is not rows[3]]
    twin = {"text": (1.0, 0.4), "context": (2.0, 0.4), "tags": (0.5, 0.4)}
    for query in QUERIES:
        assert scores_of(store, query) == pytest.approx(bm25f_twin(kept, query, k1=0.9, fields=twin), abs=1e-5)
    assert store.matching_terms("cat ant", ["04"]) == [
        tuple(word for word in ("cat", "ant") if word in f"{kept[3].chunk.input} {kept[3].chunk.metadata['tags']}")
    ]
    store.close()

    weights = {"metadata.tags": 3.0, "text": 0.25, "context": 0.0}
    other = Lexical(
        chunker=None, path=tmp_path, analyzer=SPLIT, k1=1.5, fields=weights, b={"text": 0.9, "metadata.tags": 0.0}
    )
    other.open()
    twin = {"text": (0.25, 0.9), "context": (0.0, 0.4), "tags": (3.0, 0.0)}
    for query in QUERIES:
        assert scores_of(other, query) == pytest.approx(bm25f_twin(kept, query, k1=1.5, fields=twin), abs=1e-5)
    assert other.text_kind == ScoreKind("bm25 of fields")


def test_merged_segments_keep_the_lengths_of_fields(tmp_path):
    rows = field_rows(4)
    store = made(tmp_path, rows[:5], fields={"text": 1.0, "title": 2.0})
    for row in rows[5:]:
        store.put([row], version=1)
        store.sync()
    twin = {"text": (1.0, 0.4), "context": (2.0, 0.4)}
    for query in QUERIES:
        assert scores_of(store, query) == pytest.approx(bm25f_twin(rows, query, k1=0.9, fields=twin), abs=1e-5)


def test_another_set_of_fields_is_refused(tmp_path):
    made(tmp_path, field_rows(5), fields={"text": 1.0, "title": 2.0}).close()
    for settings, expected in (({}, "None"), ({"fields": {"text": 1.0}}, """'["text"]'""")):
        with pytest.raises(IdentityError) as error:
            made(tmp_path, [], **settings)
        assert str(error.value) == (
            f"""{tmp_path} was made with fields = '["context", "text"]', expected {expected}: go back to it, or make the """
            "index anew with hookrag reindex PATH...; where the store has a `path`, give it another one and run hookrag index "
            "--rebuild NAME PATH..."
        )


def test_keys_with_blanks_are_other_fields(tmp_path):
    one, two = (
        Lexical(chunker=None, path=tmp_path, fields=dict.fromkeys(names, 1.0)).identity()
        for names in (["metadata.x", "metadata.y"], ["metadata.x metadata.y"])
    )
    assert one != two


def test_a_field_without_weight_has_no_matching_terms(tmp_path):
    rows = [Row(Chunk("a", "d", "ant", 0, 3, "bee"), "", 0)]
    store = made(tmp_path, rows, fields={"text": 1.0, "title": 0.0})
    assert scores_of(store, "bee") == {}
    assert store.matching_terms("bee ant", ["a"]) == [("ant",)]


def test_boosts_count_a_word_so_often_and_everything_else_is_text(tmp_path):
    texts = texts_of(6)
    rows = plain_rows({**texts, "x": "2 3 ant"})
    store = made(tmp_path / "boosted", rows, boosts=True)
    off = made(tmp_path / "plain", rows)
    parts = {word: scores_of(off, word) for word in ("ant", "bee")}
    expected = {
        name: 2.5 * parts["ant"].get(name, 0.0) + parts["bee"].get(name, 0.0)
        for name in {**parts["ant"], **parts["bee"]}
    }
    assert scores_of(store, "ant^2.5 bee cat^0") == pytest.approx(expected, abs=1e-5)
    for text in ("ant^-3", "ant^inf", "ant^ 3", "^3 ant", "ant^12345", "(ant^2)", "ant^2x"):
        assert scores_of(store, text) == scores_of(off, text), text
    assert scores_of(off, "ant^3") == pytest.approx(scores_of(off, "ant 3"))
    assert store.matching_terms("bee^2 3 ant^3 cat^0 2", ["x"]) == [("3", "ant", "2")]
    assert store.matching_terms("ant^2 2 3^4", ["x"]) == [("ant", "2", "3")]


def rm3_twin(scores, texts, query, *, documents, terms, original):
    first = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:documents]
    model = Counter()
    for name, score in first:
        for word, tf in Counter(texts[name].split()).items():
            model[word] += score * tf / len(texts[name].split())
    best = dict(sorted(model.items(), key=lambda item: (-item[1], item[0]))[:terms])
    asked = Counter(query.split())
    return {
        word: original * asked[word] / asked.total() + (1 - original) * best.get(word, 0.0) / sum(best.values())
        for word in asked | best
    }


@pytest.mark.parametrize("where", [None, "odd == true"])
def test_feedback_is_rm3_over_the_rows_that_match(tmp_path, where):
    texts = texts_of(7)
    rows = [
        Row(Chunk(name, "d", text, 0, len(text), metadata={"odd": bool(int(name) % 2)}), "", 0)
        for name, text in texts.items()
    ]
    tree = None if where is None else parse_filter(where)
    left = {name for name in texts if where is None or int(name) % 2}
    off = made(tmp_path / "plain", rows)
    store = made(tmp_path / "rm3", rows, feedback="rm3", feedback_documents=3, feedback_terms=4, original_weight=0.6)
    parts = {word: scores_of(off, word, where=tree) for word in WORDS}
    for query in QUERIES:
        weights = rm3_twin(scores_of(off, query, where=tree), texts, query, documents=3, terms=4, original=0.6)
        expected = {}
        for word, weight in weights.items():
            for name, score in parts.get(word, {}).items():
                expected[name] = expected.get(name, 0.0) + weight * score
        found = scores_of(store, query, where=tree)
        assert found == pytest.approx(expected, abs=1e-5)
        assert found.keys() <= left
    assert scores_of(store, "unknown") == {}
    assert store.matching_terms("hen unknown", ["000"]) == off.matching_terms("hen unknown", ["000"])
    assert store.text_kind == ScoreKind("bm25 rm3")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"method": "bm25+", "delta": -1.0}, "delta must be a number from 0 for method = 'bm25+', got -1.0"),
        ({"method": "tf-idf", "delta": 0.5}, "delta must be a number from 1 for method = 'tf-idf', got 0.5"),
        ({"delta": 1.0}, "delta has no meaning for method = 'lucene': leave it out, or choose bm25+, bm25l, tf-idf"),
        ({"b": {"text": 0.5}}, "b must be one number where there are no fields, got a table: name the fields, or one b"),
        ({"fields": {"text": 0.0}}, "fields must give at least one of them a weight above 0, got {'text': 0.0}"),
        ({"fields": {"text": 1, "body": 2}}, "fields has 'body', expected text, title (the chunk's context) or metadata.KEY"),
        ({"fields": {"text": 1.0, "title": -2.0}}, "fields.title must be at least 0, got -2.0"),
        ({"fields": {"title": 1.0, "context": 2.0}}, "fields has context and title, which are the same: name one of them"),
        (
            {"fields": {"text": 1.0}, "b": {"title": 0.3}},
            "b names title, which is no field: fields has text",
        ),
        (
            {"fields": {"title": 1.0}, "b": {"title": 0.2, "context": 0.3}},
            "b has context and title, which are the same: name one of them",
        ),
        ({"fields": {"title": 1.0}, "b": {"title": 1.3}}, "b.title must be in [0, 1], got 1.3"),
        ({"fields": {"text": 1.0}, "b": {"text": 1.3}}, "b.text must be in [0, 1], got 1.3"),
        ({"feedback": "rm3", "feedback_terms": 0}, "feedback_terms must be at least 1, got 0"),
        ({"feedback": "rm3", "original_weight": 1.5}, "original_weight must be in [0, 1], got 1.5"),
        ({"method": "tf-idf", "k1": 1.2}, "k1 has no meaning for method = 'tf-idf', got 1.2: leave it out"),
        (
            {"feedback_terms": 20},
            "feedback_documents, feedback_terms and original_weight have no meaning without feedback = 'rm3': leave them out",
        ),
        ({"cache_mb": -1}, "cache_mb must be at least 0, got -1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(tmp_path, settings, text):
    with pytest.raises(ValueError) as error:
        Lexical(chunker=None, path=tmp_path, **settings)
    assert str(error.value) == text


def test_the_kind_of_score_names_the_formula(tmp_path):
    names = {
        method: Lexical(chunker=None, path=tmp_path, method=method).text_kind.name
        for method in ("lucene", "robertson", "atire", "bm25+", "bm25l", "tf-idf")
    }
    assert names == {
        "lucene": "bm25", "robertson": "bm25-robertson", "atire": "bm25-atire", "bm25+": "bm25+", "bm25l": "bm25l",
        "tf-idf": "tf-idf",
    }  # fmt: skip
