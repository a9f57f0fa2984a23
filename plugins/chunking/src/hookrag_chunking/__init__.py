"""Chunkers for hookrag."""
