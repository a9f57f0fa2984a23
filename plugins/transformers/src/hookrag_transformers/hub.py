"""Models from Hugging Face by its own client: what is needed of a repository, at one commit, with a manifest of what came."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from hookrag.disk.lock import take

from hookrag_transformers.asking import LONG_PATIENCE, PATIENCE, ask, endpoint, reason
from hookrag_transformers.files import replace_file, sha256_of
from hookrag_transformers.manifest import damaged, manifest_of
from hookrag_transformers.models import MANIFEST, HubName, Known, ModelError, models_folder
from hookrag_transformers.selection import TABLES, may_be_kept, wanted


def fetch_from_hub(name: HubName, say: Callable[[str], None], known: Known | None = None) -> Path:
    """The folder of the model, fetched where it is absent or damaged.

    A connection that breaks is taken up where it was, by the client; after a run that was cut off, the files that came whole
    are kept. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured. A model that is known comes at its pinned commit, and
    with the very weights of its package where they are the same. Raises ModelError, HubSilent where no hub answered.
    """
    folder = name.folder
    if folder.is_dir():
        wrong = damaged(folder)
        if not wrong:
            say(f"{name} is there: {folder}")
            return folder
        say(f"{name} is damaged ({', '.join(wrong)}): {folder}")
    work = models_folder() / f".download-{str(name).replace('/', '--')}"
    lock = Path(f"{work}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    taken = take(lock, wait=math.inf)
    try:
        # Two at once would write the same files; the second finds the model there.
        if not folder.is_dir() or damaged(folder):
            # A damaged one is mended where it is, so that its manifest keeps the commit whatever happens.
            target = folder if folder.is_dir() else work
            target.mkdir(exist_ok=True)
            commit = _download(name, known, target)
            if target == work:
                _move(name, work, folder)
            say(f"{name} fetched at commit {commit}: {folder}")
        else:
            say(f"{name} is there: {folder}")
    finally:
        with suppress(OSError):
            work.rmdir()  # where nothing came, nothing is kept
        lock.unlink(missing_ok=True)
        if taken is not None:
            taken.release()
    return folder


def _download(name: HubName, known: Known | None, target: Path) -> str:
    """Fill the folder with what is needed of the model, and its manifest; the commit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its client's, which differs by version

    api = HfApi(endpoint=endpoint())
    pinned = known.commit if known else name.revision
    info = ask(api, name, manifest_of(target).get("commit") or pinned, PATIENCE if known else LONG_PATIENCE)
    commit = str(info.sha)

    def take(files: Sequence[str]) -> None:
        # One by one, not as a snapshot: that draws bars into a log, and leaves open ones on a terminal.
        for file in files:
            api.hf_hub_download(name.id, file, revision=commit, local_dir=target)

    try:
        files = [file.rfilename for file in info.siblings or [] if may_be_kept(file.rfilename)]
        take([table for table in TABLES if table in files])
        needed = wanted(name, files, target)
        take(needed)
        for left in [path for path in target.rglob("*") if path.is_file() and target != name.folder]:
            if left.relative_to(target).parts[0] != ".cache" and left.relative_to(target).as_posix() not in needed:
                left.unlink()  # of another commit, by a fetch that failed
        came = api.verify_repo_checksums(name.id, revision=commit, local_dir=target)
        digests = {file: sha256_of(target / file) for file in needed}
    except (HTTPError, OSError) as error:
        raise ModelError(f"model {name}: {reason(name, error)}") from error
    wrong = [(one["path"], f"{one['algorithm']} {one['actual']}", one["expected"]) for one in came.mismatches]
    if known and not known.differs and digests.get(known.weights) != known.sha256:
        wrong.append((known.weights, f"sha256 {digests.get(known.weights)}", known.sha256))
    for file, *_ in wrong:
        (target / file).unlink(missing_ok=True)
    for file, got, expected in wrong[:1]:
        raise ModelError(
            f"model {name}: {file} came with {got}, expected {expected}; it was not installed: fetch again"
        )
    shutil.rmtree(target / ".cache", ignore_errors=True)
    manifest = {"model": name.id, "revision": name.revision, "commit": commit, "files": digests}
    replace_file(target / MANIFEST, [json.dumps(manifest, indent=2).encode() + b"\n"])
    return commit


def _move(name: HubName, work: Path, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.rename(work, folder)
    except OSError as error:
        raise ModelError(f"model {name}: {folder} cannot be replaced ({error}): remove it and fetch again") from error
