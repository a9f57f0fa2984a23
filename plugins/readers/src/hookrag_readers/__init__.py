"""Readers of file formats, for hookrag."""
