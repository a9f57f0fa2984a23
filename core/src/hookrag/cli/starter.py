"""The configuration that `hookrag init` writes, for the components that are installed. docs/results.md says why it is so."""

from __future__ import annotations

from collections.abc import Set

from hookrag.errors import ConfigError

Installed = Set[tuple[str, str]]

_HEAD = """\
# A pipeline of hookrag. `hookrag check` finds every mistake in it, `hookrag plugins` lists what `use` can name,
# and `hookrag schema` prints a JSON Schema for your editor. Paths are relative to this file.

[pipelines.default]
retriever = "{retriever}"
{generator}k = 10                     # chunks that an answer may rest on
# timeout = 30              # seconds for one call
# middleware = ["retry"]    # tables of [middleware.*]; the first is the outermost

[index]
path = ".hookrag"           # the journal and the stores that are kept on disk
# Metadata that --where can filter on; all other metadata is kept and shown, but not searched.
# fields = {{ lang = "keyword", year = "int" }}

# How documents are cut: between paragraphs, or else between sentences, into at most so many words.
[chunkers.passages]
use = "recursive"
size = 100                  # words
"""

_DENSE = """
# Search by meaning: a small English model, run by ONNX Runtime.
[embedders.minilm]
use = "transformers"
model = "all-MiniLM-L6-v2"  # `hookrag models list` shows the others; a folder works too

[stores.vectors]
{store}
chunker = "passages"
embedder = "minilm"

[retrievers.dense]
use = "dense"
store = "vectors"
"""

_STORES = {
    "faiss": 'use = "faiss"               # files of its own; "milvus" and "elasticsearch" for a server',
    "milvus": 'use = "milvus"              # a file by default; uri = "http://localhost:19530" for a server',
}
"""For the vectors, the quicker one on one machine first."""

_TEXT = """
# Search by words: BM25.
[stores.terms]
use = "lexical"
chunker = "passages"

[retrievers.bm25]
use = "text"
store = "terms"
"""

_HYBRID = """
# Both at once, made one ranking: the scores of each are brought to one scale and added.
[retrievers.hybrid]
use = "fused"
retrievers = ["dense", "bm25"]
fuser = "scores"
depth = 100                 # candidates of each
# on_error = "skip"         # answer from the other when one fails; the trace says so

[fusers.scores]
use = "dbsf"                # "rrf" looks at ranks alone
"""

_RERANKED = """
# The best candidates read together with the question.
[rerankers.judge]
use = "cross-encoder"

[retrievers.best]
use = "reranked"
retriever = "{first}"
reranker = "judge"
depth = 20                  # candidates that are read: more is slower, about 0.05 s each on two cores
"""

_EXTRACTIVE = """
# Answers are sentences of the sources, quoted; where none fits it says that it does not know. No language model is called.
[generators.quotes]
use = "extractive"
reranker = "judge"
"""

_READERS = """
# Text, Markdown, JSONL and CSV are read without a table; these are parsed in child processes with limits.
[readers]
"""

_LLM = """
# To have a language model write the answers, with checked citations, name "writer" as the pipeline's generator.
# [llms.gpt]
# use = "openai"
# model = "gpt-4.1-mini"
# api_key_env = "OPENAI_API_KEY"
# base_url = "http://127.0.0.1:8080/v1"   # any OpenAI-compatible server
#
# [generators.writer]
# use = "cited"
# llm = "gpt"
"""


def starter(installed: Installed) -> str:
    """The text of a configuration that uses the best of what is installed. Raises ConfigError where nothing can search."""

    def have(*wanted: tuple[str, str]) -> bool:
        return all(one in installed for one in wanted)

    if not have(("chunker", "recursive")):
        raise ConfigError(['nothing is installed that can cut documents: pip install "hookrag[default]"'])
    store = next((name for name in _STORES if have(("store", name))), None)
    dense = store is not None and have(("embedder", "transformers"))
    text = have(("store", "lexical"))
    hybrid = dense and text and have(("fuser", "dbsf"))
    if not (dense or text):
        raise ConfigError(['no store is installed: pip install "hookrag[default]", or hookrag-lexical alone'])
    first = "hybrid" if hybrid else "dense" if dense else "bm25"
    judged = have(("reranker", "cross-encoder"))
    quotes = judged and have(("generator", "extractive"))
    retriever = "best" if judged else first
    blocks = [_HEAD.format(retriever=retriever, generator='generator = "quotes"\n' if quotes else "")]
    blocks += [_DENSE.format(store=_STORES[store])] if dense and store else []
    blocks += [_TEXT] if text else []
    blocks += [_HYBRID] if hybrid else []
    blocks += [_RERANKED.format(first=first)] if judged else []
    blocks += [_EXTRACTIVE] if quotes else []
    readers = [name for name in ("html", "pdf", "docx", "pptx", "xlsx", "epub") if have(("reader", name))]
    blocks += [_READERS + "".join(f'{name} = {{ use = "{name}" }}\n' for name in readers)] if readers else []
    blocks += [_LLM] if have(("llm", "openai")) else []
    return "".join(blocks)
