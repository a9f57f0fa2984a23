"""The readers of plain formats, and what they say of files that are something else."""

from __future__ import annotations

import re

import pytest
from hookrag import Document, ReadError
from hookrag.components.readers import Csv, JsonLines, Markdown, Text, first_heading


def read(reader, path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(reader.read(path, id=path.name))


def refused(reader, path, content):
    with pytest.raises(ReadError) as raised:
        read(reader, path, content)
    return str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_in_every_encoding_that_says_what_it_is(tmp_path, encoding):
    text = "Grüße\r\n你好 𝄞\n"
    (document,) = read(Text(), tmp_path / "a.txt", text.encode(encoding))
    assert document == Document("a.txt", text.replace("\r\n", "\n"))


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "a.txt"
    assert refused(Text(), path, "Grüße".encode("latin-1")) == (
        f"{path}: expected UTF-8, or UTF-16 with a byte order mark, got a byte 0xfc that is not UTF-8: convert the file"
    )
    assert refused(Text(), path, b"\xff\xfea") == (
        f"{path}: expected UTF-8, or UTF-16 with a byte order mark, got a byte 0x61 that is not UTF-16-LE: convert the file"
    )
    assert refused(JsonLines(), path, '{"_id": "ü", "text": ""}'.encode("latin-1")).startswith(
        f"{path}: expected UTF-8"
    )


def test_a_file_that_is_gone(tmp_path):
    with pytest.raises(ReadError, match=rf"{tmp_path}/none\.txt: cannot be read: No such file or directory"):
        list(Text().read(tmp_path / "none.txt", id="none.txt"))


@pytest.mark.parametrize(
    ("content", "title", "text"),
    [
        ("# One #\n\ntext", "One", None),
        ("intro\n\n### Deep `code`\n# Later", "Deep `code`", None),
        ("no heading", "", None),
        ("#hashtag\n####### seven\n    # code", "", None),
        ("```python\n# comment\n```\n# Real", "Real", None),
        ("~~~~\n```\n~~~\n# no\n~~~~\n## Yes", "Yes", None),
        ("---\ntitle: Front\ntags: [a]\n---\n# Heading\n", "Front", "# Heading\n"),
        ("---\ntitle: 'It is: \"so\"'\n---\ntext", 'It is: "so"', "text"),
        ("---\nauthor: me\n...\n# Heading", "Heading", "# Heading"),
        ("---\n\nA rule, and no front matter", "", None),
        ("---\ntitle:\n---\n# H", "H", "# H"),
        ("", "", None),
    ],
)
def test_markdown_titles(tmp_path, content, title, text):
    (document,) = read(Markdown(), tmp_path / "a.md", content)
    assert document == Document("a.md", content if text is None else text, title)


def test_headings_are_found_in_any_line(tmp_path):
    assert first_heading("a\n" * 1000 + "# Last") == "Last"


def test_beir_records_keep_their_ids(tmp_path):
    content = (
        '\ufeff{"_id": "4983", "title": "T", "text": "x", "metadata": {"url": "u"}, "lang": "en"}\n'
        "\n"
        '{"_id": 7, "title": null, "text": "", "metadata": {}}\r\n'
        '{"text": "no id\\u2028"}'
    )
    assert read(JsonLines(), tmp_path / "corpus.jsonl", content) == [
        Document("4983", "x", "T", {"lang": "en", "url": "u"}),
        Document("7", ""),
        Document("corpus.jsonl#4", "no id\u2028"),
    ]


def test_other_fields_can_be_named(tmp_path):
    reader = JsonLines(id_field="name", title_field="head", text_field="body", metadata_field="meta", suffixes=[".x"])
    assert read(reader, tmp_path / "a.x", '{"name": "n", "head": "h", "body": "b", "meta": {"a": 1}, "text": "t"}') == [
        Document("n", "b", "h", {"text": "t", "a": 1})
    ]
    assert reader.suffixes == (".x",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"_id": "1"', "expected one JSON object on the line, got '{\"_id\": \"1\"': Expecting ',' delimiter: "),
        ('["a"]', "expected a JSON object, got '[\"a\"]'"),
        ('{"_id": "1"}', "expected text in the field 'text', got nothing"),
        ('{"_id": null, "text": "x"}', "expected text in the field '_id', got nothing"),
        ('{"_id": true, "text": "x"}', "expected text in the field '_id', got 'true'"),
        ('{"_id": "1", "text": ["x"]}', "expected text in the field 'text', got '[\"x\"]'"),
        ('{"_id": "1", "text": "x", "title": 3}', "expected text in the field 'title', got '3'"),
        ('{"_id": "1", "text": "x", "metadata": "m"}', "expected an object in the field 'metadata', got '\"m\"'"),
        ("[" * 100_000, "expected one JSON object on the line, got '"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    assert refused(JsonLines(), path, f'{{"_id": "0", "text": "x"}}\n{line}\n').startswith(f"{path}:2: {message}")


def test_tables(tmp_path):
    content = 'id,title,text,year,note\n1,One,"a ""quoted""\ntext",2020,\n\n2,,b,,"x,y"\n'
    assert read(Csv(), tmp_path / "a.csv", content) == [
        Document("1", 'a "quoted"\ntext', "One", {"year": "2020"}),
        Document("2", "b", "", {"note": "x,y"}),
    ]
    assert read(Csv(), tmp_path / "a.tsv", "text\ttag\na,b\tt\n") == [Document("a.tsv#2", "a,b", "", {"tag": "t"})]
    reader = Csv(id_column="key", text_column="body", title_column="head", delimiter=";")
    assert read(reader, tmp_path / "a.csv", "key;body;head;text\nk;b;h;t\n") == [Document("k", "b", "h", {"text": "t"})]
    assert read(Csv(delimiter="tab"), tmp_path / "b.csv", "text\ta\nx\ty\n") == [
        Document("b.csv#2", "x", "", {"a": "y"})
    ]
    assert read(Csv(), tmp_path / "empty.csv", "") == []
    (document,) = read(Csv(), tmp_path / "long.csv", "text\n" + "x" * 300_000)
    assert len(document.text) == 300_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,body\n1,x\n", "1: expected a column 'text', got the columns id, body: set text_column"),
        ("id,text,text\n1,x,y\n", "1: expected each column once, got 'text' twice"),
        ("id,text\n1,x\n2\n", "3: expected 2 cells, got 1"),
        ("id,text\n,x\n", "2: expected an id in the column 'id', got nothing"),
        ('id,text\n1,"cut', "2: is not a table: unexpected end of data"),
        ('id,text\n1,"x"y\n', "2: is not a table: ',' expected after '\"'"),
    ],
)
def test_a_bad_row_is_named(tmp_path, content, message):
    path = tmp_path / "a.csv"
    assert refused(Csv(), path, content) == f"{path}:{message}"


def test_settings_that_cannot_be(tmp_path):
    with pytest.raises(
        ValueError, match=re.escape("suffixes[0] must be lower case and begin with a dot (\".txt\"), got 'txt'")
    ):
        Text(suffixes=["txt"])
    with pytest.raises(ValueError, match=re.escape('delimiter must be one character, "tab" or "auto", got \'||\'')):
        Csv(delimiter="||")
