"""Answers of a language model with checked citations, and the checker by itself."""
