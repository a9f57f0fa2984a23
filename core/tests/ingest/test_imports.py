"""What is loaded by whoever only asks, or only looks: nothing that takes long."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("statement", ["import hookrag", "from hookrag import Pipeline", "import hookrag.ingest"])
def test_a_pipeline_is_imported_without_what_is_heavy(statement):
    code = f"import sys; {statement}; print(sorted({{'numpy', 'tenacity', 'rich', 'click'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
