"""Answers made of quoted sentences, for hookrag."""
