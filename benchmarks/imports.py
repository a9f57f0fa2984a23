"""What it costs to start: processor time, wall time, memory and modules of fresh processes.

    .venv-bench/bin/python benchmarks/imports.py [--rounds 5]

Each program is run once before anything counts, so that its files are in the system's cache.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

import collection
import harness
import run
from harness import Line, Side, Table
from options import Options

# The memory is read as harness.peak() does, without what importing that would take.
REPORT = """
import sys, time
told = [time.process_time(), len(sys.modules)]
try:
    with open("/proc/self/status") as status:
        told.append(int(status.read().partition("VmHWM:")[2].split()[0]) / 1024)
except OSError:
    import resource
    told.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
sys.stderr.write("\\n" + str(told))
"""

# Haystack imports torch where it is installed, bm25s numba; many of their users have them, but not all.
LEAN = "import sys; sys.modules.update(torch=None, numba=None)\n"
IMPORTS = {
    "hookrag": "import hookrag",
    "Haystack": "import haystack",
    "LlamaIndex": "import llama_index.core",
    "LangChain": "import langchain_core",
}
# What a program needs before it can put a hybrid search together; LangChain's core has none.
HYBRID = {
    "hookrag": "from hookrag import Document, Pipeline",
    "Haystack": """
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
""",
    "LlamaIndex": """
from llama_index.core import VectorStoreIndex
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.retrievers.bm25 import BM25Retriever
""",
}
HELP = """
import sys
from hookrag.cli.main import main
sys.argv = ["hookrag", "--help"]
try:
    main()
except SystemExit:
    pass
"""


def saved(options: Options) -> dict[str, str]:
    """Programs that open a saved BM25 index and ask it one question; the indexes are made here."""
    programs = {}
    for name in SIDES:
        with Side(__file__, name, options) as side:
            programs[name] = side.ask("program")
    return programs


class _Saved:
    def __init__(self, options: Options) -> None:
        self._path = str(options.folder / "index")
        held = collection.read(options)
        self._texts = held.documents
        self._question = next(iter(held.queries.values()))


class Ours(_Saved):
    """hookrag-lexical in a pipeline."""

    def program(self) -> str:
        from hookrag import Document, Pipeline

        config = {
            "pipelines": {"default": {"retriever": "bm25", "k": 10}},
            "index": {"path": self._path},
            "chunkers": {"whole": {"use": "document"}},
            "stores": {"terms": {"use": "lexical", "chunker": "whole"}},
            "retrievers": {"bm25": {"use": "text", "store": "terms"}},
        }
        with Pipeline.from_config(config) as pipeline:
            pipeline.index(Document(name, text) for name, text in self._texts.items())
        return f"""
from hookrag import Pipeline
with Pipeline.from_config({config!r}) as pipeline:
    assert pipeline.retrieve([{self._question!r}])[0].hits
"""


class Haystack(_Saved):
    """Its in-memory store, which it can save as JSON."""

    def program(self) -> str:
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore()
        store.write_documents([Document(id=name, content=text) for name, text in self._texts.items()])
        store.save_to_disk(self._path)
        return f"""
from haystack import Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
pipeline = Pipeline()
pipeline.add_component("bm25", InMemoryBM25Retriever(InMemoryDocumentStore.load_from_disk({self._path!r}), top_k=10))
assert pipeline.run({{"bm25": {{"query": {self._question!r}}}}})["bm25"]["documents"]
"""


class LlamaIndex(_Saved):
    """Its BM25 retriever, on bm25s, in a folder."""

    def program(self) -> str:
        from llama_index.core.schema import TextNode
        from llama_index.retrievers.bm25 import BM25Retriever

        nodes = [TextNode(id_=name, text=text) for name, text in self._texts.items()]
        BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=10).persist(self._path)
        return f"""
from llama_index.retrievers.bm25 import BM25Retriever
assert BM25Retriever.from_persist_dir({self._path!r}).retrieve({self._question!r})
"""


SIDES = {"hookrag": Ours, "Haystack": Haystack, "LlamaIndex": LlamaIndex}


def started(program: str, folder: Path) -> dict[str, float]:
    """Run the program in a fresh interpreter."""
    begun = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program + REPORT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=harness.environment(1),
    )
    wall = perf_counter() - begun
    if done.returncode:
        raise RuntimeError(f"{program}\nended with {done.returncode}:\n{done.stderr}")
    used, modules, memory = json.loads(done.stderr.splitlines()[-1])
    return {"processor": used, "wall": wall, "memory": memory, "modules": modules}


def compared(what: str, programs: Mapping[str, str], rounds: int, folder: Path) -> list[Line]:
    """Each program in turns, in one round more than counts."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in programs}
    for at in range(rounds + 1):
        for name, program in programs.items():
            figures = started(program, folder)
            if at:
                runs[name].append(figures)
    units = {"processor": "CPU s", "wall": "s", "memory": "MB", "modules": "modules"}
    return [
        Line(what, unit, {name: [one[key] for one in figures] for name, figures in runs.items()})
        for key, unit in units.items()
    ]


def measure(options: Options) -> list[Table]:
    """Import, what a hybrid search needs, and a first answer from a saved index."""
    options = options.sized(documents=1000, queries=100)
    found = saved(options)
    notes = [
        f"The saved index holds {options.documents:,} documents. Less is better everywhere. Except in the line that says so, "
        "torch and numba are hidden from all: Haystack and bm25s import them where they are installed."
    ]
    table = Table("Start", notes)

    def add(what: str, programs: Mapping[str, str], first: int, head: str = LEAN) -> None:
        headed = {name: head + program for name, program in programs.items()}
        table.lines.extend(compared(what, headed, options.rounds, options.folder)[:first])

    add("python -c pass", {"hookrag": "pass"}, 1, "")
    add("import", IMPORTS, 4)
    add("import, torch installed", {name: IMPORTS[name] for name in ("hookrag", "Haystack")}, 1, "")
    add("import what builds a hybrid search", HYBRID, 4)
    add("hookrag --help", {"hookrag": HELP}, 2)
    add("open a saved BM25 index, ask once", found, 3)
    return [table]


if __name__ == "__main__":
    run.alone(measure, SIDES)
