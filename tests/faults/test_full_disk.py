"""A full disk under everything: the journal, the lexical store and another one on a file system of a few megabytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .world import STORE, left, plugins, start, write

# Runs in a namespace of its own, in which it may mount a file system: fills it, indexes, makes room, and indexes again.
INSIDE = """
set -e
mount -t tmpfs -o size=12m tmpfs .hookrag
head -c {filler} /dev/zero >.hookrag/filler
set +e
"{python}" -m hookrag.cli.main index docs
echo "full: $?"
"{python}" -m hookrag.cli.main index docs
echo "still full: $?"
rm .hookrag/filler
mv docs all && mkdir docs && cp all/d0*.txt docs
"{python}" -m hookrag.cli.main index --prune docs
echo "room: $?"
"{python}" -m hookrag.cli.main verify
echo "verified: $?"
cp -r .hookrag after
"""


SOAK = bool(os.environ.get("HOOKRAG_SOAK"))
ROOMS = [20, 200, 1500] if SOAK else [200]


def namespaces() -> bool:
    return (
        subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not namespaces(), reason="this system lets nobody mount a file system in a namespace of their own")
@pytest.mark.parametrize("room", ROOMS, ids=lambda room: f"{room} kB")
@pytest.mark.parametrize("use", ["faiss", "milvus"] if SOAK else ["faiss"])
def test_nothing_is_lost_and_nothing_dies_of_a_full_disk(tmp_path: Path, use: str, room: int) -> None:
    place = start(tmp_path / "place", STORE.format(use=use))
    (place / ".hookrag").mkdir()
    text = "what stays the same in all of them and fills some room on the disk " * 60
    write(place, {f"d{n:03}.txt": f"document {n} {text}{n}" for n in range(300)})
    script = INSIDE.format(filler=(12 * 1024 - room) * 1024, python=sys.executable)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script],
        cwd=place, env=plugins(tmp_path / "plugins"), capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    codes = dict(re.findall(r"^([a-z ]+): (\d+)$", done.stdout, re.MULTILINE))
    # 1 is an error with a message; 135 would be a bus error, 134 an abort, 137 a kill.
    assert codes == {"full": "1", "still full": "1", "room": "0", "verified": "0"}, told
    assert "Traceback" not in told
    os.rename(place / ".hookrag", place / "mounted")
    os.rename(place / "after", place / ".hookrag")
    assert left(place) == {}
