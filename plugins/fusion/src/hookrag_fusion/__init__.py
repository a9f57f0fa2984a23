"""Fusers for hookrag."""
