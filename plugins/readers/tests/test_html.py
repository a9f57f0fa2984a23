from __future__ import annotations

from importlib import import_module

import pytest
from hookrag import ReadError
from hookrag_readers import plugin
from hookrag_readers.charset import decode
from hookrag_readers.html import Html, parse
from hypothesis import given, settings
from hypothesis import strategies as st

PAGE = """<!DOCTYPE html>
<html lang="en-GB"><head><title> Ports &amp;
 hosts </title><style>p{}</style><script>if (a < b) { document.write("<p>no</p>") }</script></head>
<body><header><nav><a href="/">Home</a></nav></header>
<h1>Ports<a class="headerlink" href="#x">\u00b6</a></h1>
Loose <b>te</b>xt<br>line two
<p>Redis listens on&nbsp;6379<sup>1</sup>, caf&eacute; &#x4f60; &lt;b&gt;
goes on. <h2>Li<i>sts</i></h2>
<ul><li>one<li><p>two</p><p>more</p><ul><li>inner</ul><li>three</ul>
<table><tr><th>Port<th>Use<tr><td><p>80</p><td>web<br>and</table>
<pre><code>
def f():
    return "``` &amp;"
</code></pre>
<dl><dt>Term<dd>Meaning</dl><!-- no --><button>Copy</button><p hidden>no</p><p style="display: none">no</p>
<aside>See also</aside><svg><title>no</title><text>no</text></svg>
<blockquote>Said.<footer>Somebody</footer></blockquote>
<footer>Imprint</footer></body></html>"""
TEXT = """# Ports

Loose text
line two

Redis listens on 63791, café 你 <b> goes on.

## Lists

- one
- two

more

  - inner
- three

| Port | Use |
| 80 | web and |

````
def f():
    return "``` &"
````

Term
Meaning

Said.

Somebody"""


def read(tmp_path, data: bytes, name="page.html"):
    path = tmp_path / name
    path.write_bytes(data)
    return list(Html().read(path, id="docs/page.html"))


def test_a_page_becomes_light_markdown_in_reading_order(tmp_path):
    (document,) = read(tmp_path, PAGE.encode())
    assert document.text == TEXT
    assert (document.id, document.title, dict(document.metadata)) == (
        "docs/page.html",
        "Ports & hosts",
        {"lang": "en-GB"},
    )


def test_main_is_read_alone_if_it_has_text():
    assert parse("<p>Menu</p><main><nav>Here</nav><p>Text</p></main><p>Ads</p>").text() == "Text"
    assert parse("<div role=main>Text</div><p>Ads</p>").text() == "Text"
    assert parse("<p>Text</p><main> </main>").text() == "Text"


def test_navigation_is_left_out_unless_there_is_nothing_else():
    assert parse("<div role=navigation>Home</div><p>Text</p><aside>More</aside>").text() == "Text"
    assert parse("<nav><p>Home</p></nav>").text() == "Home"


def test_the_title_is_the_first_heading_where_the_page_has_none():
    assert parse("<h2>Small</h2><h1>Big <b>one</b></h1><h1>Other</h1>").title == "Big one"
    assert parse("<title></title><p>Text").title == ""


def test_tables_that_lay_out_a_page_become_paragraphs():
    long = "word " * 120
    assert parse(f"<table><tr><td>Menu<td>{long}<p>Next</p></table>").text() == f"Menu\n\n{long.strip()}\n\nNext"
    assert parse("<table><tr><td>One<br>two</table>").text() == "One\n\ntwo"
    assert parse("<table><tr><td>a<ul><li>b</ul><td>c</table>").text() == "a\n\n- b\n\nc"


@pytest.mark.parametrize(
    "data", [b"", b"  \n", b"<html></html>", b"<!-- only this", b"<script>x()</script>", b"\xef\xbb\xbf"]
)
def test_a_page_without_text_is_a_document_without_text(tmp_path, data):
    (document,) = read(tmp_path, data)
    assert (document.text, document.title) == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        "<p>Grüße €".encode(),
        "\ufeff<p>Grüße €".encode(),
        "\ufeff<p>Grüße €".encode("utf-16-le"),
        "\ufeff<p>Grüße €".encode("utf-16-be"),
        "<p>Grüße €".encode("utf-16-le"),
        "<p>Grüße €".encode("cp1252"),
        '<meta charset="ISO-8859-1"><p>Grüße €'.encode("cp1252"),
        "<meta charset=utf-16><p>Grüße €".encode(),
        "<meta charset='no-such'><p>Grüße €".encode(),
        "<meta charset=hex><p>Grüße €".encode(),
        '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-15"><p>Grüße €'.encode("iso8859-15"),
        '<?xml version="1.0" encoding="windows-1252"?><html><p>Grüße €'.encode("cp1252"),
        "\ufeff<meta charset=iso-8859-1><p>Grüße €".encode(),
    ],
)
def test_the_encoding_is_found_as_browsers_do(tmp_path, data):
    (document,) = read(tmp_path, data)
    assert document.text == "Grüße €"


@pytest.mark.parametrize(
    ("name", "text"), [("gb2312", "你好"), ("shift_jis", "日本語"), ("euc-kr", "한국어"), ("koi8-r", "Привет")]
)
def test_declared_encodings_of_other_scripts(name, text):
    assert decode(f"<meta charset={name}>{text}".encode(name)) == f"<meta charset={name}>{text}"


def test_bytes_that_do_not_decode_become_replacement_characters():
    assert decode(b"<meta charset=utf-8>a\xffb") == "<meta charset=utf-8>a\ufffdb"


def test_blocks_inside_code_are_lines_and_permalinks_say_nothing():
    assert parse("<pre><div>a</div><div>b</div></pre>").text() == "```\na\nb\n```"
    assert parse("<h2>Ports <a href='#p'>\u00a7</a></h2><p><a>C#</a>").text() == "## Ports\n\nC#"


def test_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(ReadError) as error:
        read(tmp_path, b"PK\x03\x04\0\0\0")
    assert str(error.value) == f"{path} is not HTML: it has zero bytes at its beginning, as binary files have"


def test_a_file_that_cannot_be_opened_is_a_read_error(tmp_path):
    path = tmp_path / "none.html"
    with pytest.raises(ReadError) as error:
        list(Html().read(path, id="x"))
    assert str(error.value) == f"{path} cannot be read: No such file or directory"


UNITS = [
    "<div>", "<p><b><i>", "<ul><li>", "<table><tr><td>", "<a>x<div>", "<", "&", "<!--", "<![CDATA[", "<script>", "<pre>`",
    "<title>", "<select><option>", "</p>", "<a x=", "<nav>", "<svg><title>", "<p>x", "<td>", "<h1>x",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_half_a_megabyte_of_anything_takes_no_quadratic_time_and_never_crashes(unit):
    # a tree builder needs minutes here and runs into the suite's time limit
    page = parse("<p>before</p>" + unit * (500_000 // len(unit)))
    assert "before" in page.text()


TAGS = [
    "</div>",
    "</li>",
    "</ul>",
    "</table>",
    "<main>",
    "</main>",
    "</nav>",
    "-->",
    "]]>",
    "</script>",
    "<br/>",
    "<p hidden>",
]
ODD = ["<html lang=x>", "</html>", "<body>", "<frameset>", "text ", "\0", "\x1f", "\ud800", '"', "</pre>", "<td><p>"]
PIECES = st.one_of(st.text(max_size=5), st.sampled_from([*UNITS, *TAGS, *ODD]))


@settings(deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_input_breaks_the_parser_or_the_text(html):
    page = parse(html)
    text = page.text()
    assert text == text.strip("\n")
    assert not set(text) & set("\x1d\x1e\x1f\xa0\0")
    text.encode("utf-8")
    assert "\n" not in page.title


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_become_text(data):
    decode(data).encode("utf-8")


def test_every_registered_component_can_be_imported():
    for use, component in plugin.readers().items():
        module, _, name = component.target.partition(":")
        assert use == getattr(import_module(module), name).__name__.lower()
