"""Transformer encoders for hookrag on ONNX Runtime or torch: embeddings, and the models that other plugins share."""

from __future__ import annotations

__version__ = "0.1.0"
