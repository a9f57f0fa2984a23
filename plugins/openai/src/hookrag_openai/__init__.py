"""hookrag-openai: language models and embeddings of OpenAI-compatible servers."""

from __future__ import annotations
