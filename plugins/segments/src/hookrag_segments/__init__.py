"""Rows in immutable files with atomic commits: the part of an embedded store that does not depend on how it searches."""
