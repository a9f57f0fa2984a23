"""Elasticsearch as a store of hookrag."""
