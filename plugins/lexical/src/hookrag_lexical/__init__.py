"""A BM25 index on disk for hookrag."""
