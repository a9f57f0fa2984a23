"""Search the same index with the question and with HyDE:

    python examples/hyde/run.py http://127.0.0.1:8080/v1 MODEL "Which animal barks?"

The address is that of any OpenAI-compatible server; its key, if it needs one, is read from OPENAI_API_KEY.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hookrag import Document, Pipeline
from hyde import Hyde

TEXTS = [
    "The dog, a domesticated descendant of the wolf, is kept as a companion and as a guard.",
    "A cat purrs when it is content, and sometimes when it is in pain.",
    "Bark is the outermost layer of the stems and roots of woody plants.",
    "The barque is a sailing vessel with three or more masts.",
]


def config(base_url: str, model: str, folder: Path) -> dict[str, Any]:
    """Two pipelines over one index: `plain` embeds the question, `default` what the model answers to it."""
    return {
        "pipelines": {"default": {"retriever": "hyde", "k": 3}, "plain": {"retriever": "plain", "k": 3}},
        "index": {"path": str(folder)},
        "chunkers": {"passages": {"use": "words"}},
        "embedders": {
            "minilm": {"use": "transformers", "model": "all-MiniLM-L6-v2"},
            "hyde": {"use": Hyde, "embedder": "minilm", "llm": "writer"},
        },
        "llms": {"writer": {"use": "openai", "model": model, "base_url": base_url, "window": 2048}},
        "stores": {"vectors": {"use": "milvus", "chunker": "passages", "embedder": "minilm"}},
        "retrievers": {
            "plain": {"use": "dense", "store": "vectors"},
            "hyde": {"use": "dense", "store": "vectors", "embedder": "hyde"},
        },
    }


def main(base_url: str, model: str, question: str) -> None:
    """Index four sentences, ask twice, print both rankings."""
    with tempfile.TemporaryDirectory() as folder:
        source = config(base_url, model, Path(folder))
        for name in ("plain", "default"):
            with Pipeline.from_config(source, pipeline=name) as pipeline:
                if name == "plain":
                    pipeline.index([Document(str(number), text) for number, text in enumerate(TEXTS)])
                print(name)
                for hit in pipeline.retrieve([question])[0].hits:
                    print(f"  {hit.score:.3f}  {hit.chunk.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
