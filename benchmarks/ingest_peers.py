"""The same documents and embedder: how long each framework's own way to keep an index up to date takes, and what it loses.

    .venv/bin/python benchmarks/ingest_peers.py

Needs an environment with hookrag (core, lexical, faiss, milvus) and the others:

    pip install llama-index-core llama-index-vector-stores-chroma langchain-classic langchain-community langchain-chroma

2,000 documents of some 60 words. Each system is used as its documentation says: hookrag's `index`; LlamaIndex's
`IngestionPipeline` with a docstore and UPSERTS_AND_DELETE, persisted after each run; LangChain's `index` with an
`SQLRecordManager` and `cleanup="full"`. Each run is a process of its own. First an index is made, brought to a second version
(a tenth edited, a twentieth deleted, as many new), and run again without a change. Then, ten times: edits and deletions, a run
that is killed by SIGKILL at a random moment, every second time more edits, and the run again. What the store then holds is read
in a fresh process and compared with the documents: what is lost, what is there twice, and what is old and should be gone.
Where a killed run leaves what no later run can open, that is counted, and the next round begins with a new index. The last
columns are the state after the tenth round.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

DOCUMENTS, WIDTH, ROUNDS = 2000, 64, 10
WORDS = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in ("ka", "le", "mi", "no", "ru", "ta")]


def text_of(n: int, edit: int) -> str:
    rng = random.Random(f"{n} {edit}")
    return f"Document {n}, edition {edit}. " + " ".join(rng.choice(WORDS) for _ in range(60)) + "."


def edited(documents: dict[str, int], rng: random.Random) -> dict[str, int]:
    """{id: edition}, with a tenth edited (half of those back to an edition before), a twentieth gone and as many new."""
    names = sorted(documents)
    made = dict(documents)
    for name in rng.sample(names, len(names) // 10):
        made[name] = rng.randrange(3)
    for name in rng.sample(names, len(names) // 20):
        del made[name]
    highest = max(int(name[1:]) for name in names)
    for n in range(len(names) // 20):
        made[f"d{highest + 1 + n}"] = 0
    return made


def embed(texts: Sequence[str]) -> Any:
    """float32[n, 64]: counts of hashed words, of length 1."""
    made = np.full((len(texts), WIDTH), 1e-3, dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            made[row, int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "little") % WIDTH] += 1
    return made / np.linalg.norm(made, axis=1, keepdims=True)


# Each system: open(folder) gives (bring, read): bring makes the index hold the documents, read lists (document id, text).

Texts = dict[str, str]
Opened = tuple[Callable[[Texts], None], Callable[[], list[tuple[str, str]]]]


class Whole:
    """A chunk for each document."""

    def __init__(self) -> None:
        pass

    def chunk(self, documents: Sequence[Any], /) -> list[list[Any]]:
        from hookrag import chunk_of

        return [[chunk_of(one, 0, len(one.text))] for one in documents]


class Hashed:
    """The embedder for hookrag."""

    outputs = ("dense",)

    def __init__(self) -> None:
        pass

    def identity(self) -> Any:
        from hookrag import Identity

        return Identity({"weights": "hash"}, {"weights": "hash"})

    def embed(self, texts: Sequence[str], /, *, role: str, outputs: Any) -> Any:
        from hookrag import Vectors

        return Vectors(dense=embed(texts))


def hookrag_with(store: str) -> Callable[[Path], Opened]:
    def opened(folder: Path) -> Opened:
        from hookrag import Document, Pipeline
        from hookrag.testing import plugin

        config = {
            "pipelines": {"default": {"retriever": "both"}},
            "index": {"path": str(folder)},
            "chunkers": {"whole": {"use": Whole}},
            "embedders": {"hashed": {"use": Hashed}},
            "stores": {
                "terms": {"use": "lexical", "chunker": "whole"},
                "vectors": {"use": store, "chunker": "whole", "embedder": "hashed"},
            },
            "retrievers": {
                "words": {"use": "text", "store": "terms"},
                "dense": {"use": "dense", "store": "vectors"},
                "both": {"use": "fused", "retrievers": ["words", "dense"], "fuser": "ranks"},
            },
            "fusers": {"ranks": {"use": "fake-rank"}},
        }
        pipeline = Pipeline.from_config(config, plugins={"fakes": plugin})
        pipeline.open()

        def bring(texts: Texts) -> None:
            pipeline.index((Document(*one) for one in texts.items()), source="docs", complete=True)
            pipeline.close()

        def read() -> list[tuple[str, str]]:
            found = []
            for one in pipeline.stores:
                ids = [key.chunk_id for page in one.scan() for key in page]
                found.append(sorted((row.chunk.document_id, row.chunk.text) for row in one.fetch(ids) if row))
            if found[0] != found[1]:
                raise SystemExit("the two stores differ")
            return found[0]

        return bring, read

    return opened


def llama(store: str) -> Callable[[Path], Opened]:
    def opened(folder: Path) -> Opened:
        from llama_index.core import Document
        from llama_index.core.embeddings import BaseEmbedding
        from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
        from llama_index.core.node_parser import SentenceSplitter
        from llama_index.core.storage.docstore import SimpleDocumentStore
        from llama_index.core.vector_stores import SimpleVectorStore

        class Embedding(BaseEmbedding):
            def _get_text_embedding(self, text: str) -> list[float]:
                return embed([text])[0].tolist()

            def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
                return embed(texts).tolist()

            def _get_query_embedding(self, query: str) -> list[float]:
                return embed([query])[0].tolist()

            async def _aget_query_embedding(self, query: str) -> list[float]:
                return embed([query])[0].tolist()

        vectors: Any
        simple = folder / "vectors.json"
        if store == "chroma":
            import chromadb
            from llama_index.vector_stores.chroma import ChromaVectorStore

            collection = chromadb.PersistentClient(str(folder / "chroma")).get_or_create_collection("docs")
            vectors = ChromaVectorStore(chroma_collection=collection)
        else:
            vectors = SimpleVectorStore.from_persist_path(str(simple)) if simple.exists() else SimpleVectorStore()
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=512), Embedding(embed_batch_size=512)],
            docstore=SimpleDocumentStore(), vector_store=vectors, docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        )  # fmt: skip
        if (folder / "pipeline").exists():
            pipeline.load(str(folder / "pipeline"))

        def bring(texts: Texts) -> None:
            pipeline.run(documents=[Document(text=text, id_=id) for id, text in texts.items()])
            pipeline.persist(str(folder / "pipeline"))
            if store == "simple":
                vectors.persist(str(simple))

        def read() -> list[tuple[str, str]]:
            if store == "chroma":
                got = collection.get(include=["metadatas", "documents"])
                rows = zip(got["metadatas"], got["documents"], strict=True)
                return [(about["ref_doc_id"], text) for about, text in rows]
            # The simple store keeps vectors alone: which document and edition one is of tells its vector.
            by_vector = {
                np.round(embed([text_of(int(id[1:]), edit)])[0], 4).tobytes(): text_of(int(id[1:]), edit)
                for id in {*vectors.data.text_id_to_ref_doc_id.values()} for edit in range(3)
            }  # fmt: skip
            return [
                (vectors.data.text_id_to_ref_doc_id[node], by_vector[np.round(np.float32(vector), 4).tobytes()])
                for node, vector in vectors.data.embedding_dict.items()
            ]

        return bring, read

    return opened


def langchain(folder: Path) -> Opened:
    from langchain_chroma import Chroma
    from langchain_classic.indexes import SQLRecordManager, index
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    class Embedding(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return embed(texts).tolist()

        def embed_query(self, text: str) -> list[float]:
            return embed([text])[0].tolist()

    store = Chroma("docs", Embedding(), persist_directory=str(folder / "chroma"))
    records = SQLRecordManager("chroma/docs", db_url=f"sqlite:///{folder}/records.sql")
    records.create_schema()

    def bring(texts: Texts) -> None:
        documents = [Document(text, metadata={"source": id}) for id, text in texts.items()]
        index(documents, records, store, cleanup="full", source_id_key="source", key_encoder="sha256")

    def read() -> list[tuple[str, str]]:
        got = store.get(include=["metadatas", "documents"])
        return [(about["source"], text) for about, text in zip(got["metadatas"], got["documents"], strict=True)]

    return bring, read


SYSTEMS: dict[str, Callable[[Path], Opened]] = {
    "hookrag, lexical + Milvus Lite": hookrag_with("milvus"),
    "hookrag, lexical + faiss": hookrag_with("faiss"),
    "LlamaIndex, Chroma": llama("chroma"),
    "LlamaIndex, SimpleVectorStore": llama("simple"),
    "LangChain, Chroma": langchain,
}
PACKAGES = {
    "hookrag": ["hookrag"],
    "LlamaIndex": ["llama-index-core"],
    "LangChain": ["langchain-core", "langchain-classic"],
}
MORE = {"Milvus Lite": "milvus-lite", "faiss": "faiss-cpu", "Chroma": "chromadb"}


def child(task: str, system: str, folder: Path) -> None:
    """A process: says that it begins, does the task, and says what that took."""
    texts = {id: text_of(int(id[1:]), edit) for id, edit in json.loads((folder / "documents.json").read_text()).items()}
    bring, read = SYSTEMS[system](folder / "index")
    print("begin", flush=True)
    start = time.perf_counter()
    if task == "bring":
        bring(texts)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": time.perf_counter() - start, "mib": peak}), flush=True)
    else:
        print(json.dumps(read()), flush=True)
    os._exit(0)  # no clean-up that a killed process would not have had


def run(task: str, system: str, folder: Path, kill_after: float | None = None) -> Any:
    """What the process printed; None if it was killed. RuntimeError if it failed."""
    command = [sys.executable, __file__, task, system, str(folder)]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        assert process.stdout is not None
        process.stdout.readline()
        if kill_after is not None:
            time.sleep(kill_after)
            process.kill()
        told = process.stdout.read()
        process.wait()
        if process.returncode == -9:
            return None
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(errors.read().strip().splitlines()[-1])
    return json.loads(told)


def compared(system: str, folder: Path, documents: dict[str, int]) -> SimpleNamespace:
    """Documents without their text in the store; rows that are there again; rows of an edition or document that is gone."""
    rows = Counter((id, text) for id, text in run("read", system, folder))
    wanted = {(id, text_of(int(id[1:]), edit)) for id, edit in documents.items()}
    return SimpleNamespace(
        lost=len(wanted - rows.keys()),
        doubled=sum(rows.values()) - len(rows),
        old=len(rows.keys() - wanted),
    )


def measure(system: str) -> None:
    rng = random.Random(4)
    folder = Path(tempfile.mkdtemp())
    (folder / "index").mkdir()

    def now(documents: dict[str, int]) -> dict[str, int]:
        (folder / "documents.json").write_text(json.dumps(documents))
        return documents

    try:
        documents = now({f"d{n}": 0 for n in range(DOCUMENTS)})
        first = run("bring", system, folder)
        documents = now(edited(documents, rng))
        second = run("bring", system, folder)
        third = run("bring", system, folder)
        clean = compared(system, folder, documents)
        shutil.rmtree(folder / "index")
        (folder / "index").mkdir()
        killed = failed = 0
        lost, doubled, old = [], [], []
        documents = now({f"d{n}": 0 for n in range(DOCUMENTS)})
        for n in range(ROUNDS):
            # The first run fills an empty index; a killed run is one that had not ended.
            longest = first["seconds"] if n == 0 else second["seconds"]
            try:
                killed += run("bring", system, folder, rng.uniform(0, longest)) is None
                if n % 2:
                    documents = now(edited(documents, rng))
                run("bring", system, folder)
                found = compared(system, folder, documents)
            except RuntimeError as error:
                # No run gets past this one: whoever has the documents begins again with an empty index.
                failed += 1
                print(f"  {system}, round {n + 1}: {error}", file=sys.stderr)
                shutil.rmtree(folder / "index")
                (folder / "index").mkdir()
                run("bring", system, folder)
            else:
                lost.append(found.lost)
                doubled.append(found.doubled)
                old.append(found.old)
            documents = now(edited(documents, rng))
        print(
            f"| {system} | {first['seconds']:.2f} | {second['seconds']:.2f} | {third['seconds']:.2f} | {first['mib']:.0f} "
            f"| {clean.lost}/{clean.doubled}/{clean.old} | {killed} | {failed} | {lost[-1]} | {doubled[-1]} | {old[-1]} |",
            flush=True,
        )
        print(f"  {system}: lost {lost}, doubled {doubled}, old {old}", file=sys.stderr)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    if len(sys.argv) == 4:
        child(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    wanted = [name for name in SYSTEMS if sys.argv[1:] in ([], [name])]
    names = {
        name for system in wanted for start, names in PACKAGES.items() if system.startswith(start) for name in names
    }
    names |= {name for system in wanted for part, name in MORE.items() if part in system}
    print(", ".join(f"{name} {version(name)}" for name in sorted(names)))
    print(
        "| system | first run, s | after edits, s | no change, s | peak MiB | unkilled: lost/doubled/old "
        "| killed | could not go on | lost | doubled | old |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for system in wanted:
        measure(system)


if __name__ == "__main__":
    main()
