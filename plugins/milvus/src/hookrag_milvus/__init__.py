"""Milvus as a store of dense vectors for hookrag."""
