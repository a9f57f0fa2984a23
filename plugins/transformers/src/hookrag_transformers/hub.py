"""Models from Hugging Face: what is needed of a repository, at one commit, with a manifest of what came."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hookrag_transformers.files import sha256_of
from hookrag_transformers.models import MANIFEST, HubName, ModelError, models_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoSibling

_TEXT = (".json", ".txt")
_EXPORTS = ("onnx/model.onnx", "model.onnx")
# What says which folders of a repository belong to the model; there may be others, of checkpoints and other formats.
_TABLES = ("modules.json", "router_config.json")


def fetch_from_hub(name: HubName, say: Callable[[str], None]) -> Path:
    """The folder of the model, fetched where it is absent or damaged.

    A connection that breaks is taken up where it was, by the client; after a run that was cut off, the files that came whole
    are kept. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured. Raises ModelError.
    """
    folder = name.folder
    if folder.is_dir():
        wrong = damaged(folder) if (folder / MANIFEST).is_file() else ()
        if not wrong:
            say(f"{name} is there: {folder}")
            return folder
        say(f"{name} is damaged ({', '.join(wrong)}): {folder}")
    from filelock import FileLock

    work = models_folder() / f".download-{str(name).replace('/', '--')}"
    lock = Path(f"{work}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Two at once would write the same files; the second finds the model there.
        with FileLock(lock):
            work.mkdir(exist_ok=True)
            if not folder.is_dir() or ((folder / MANIFEST).is_file() and damaged(folder)):
                # A damaged one is mended, not replaced by what is newest now.
                commit = _download(name, manifest_of(folder).get("commit") or name.revision, work)
                _move(work, folder)
                say(f"{name} fetched at commit {commit}: {folder}")
            else:
                say(f"{name} is there: {folder}")
    finally:
        with suppress(OSError):
            work.rmdir()  # where nothing came, nothing is kept
        lock.unlink(missing_ok=True)
    return folder


def manifest_of(folder: Path) -> Mapping[str, Any]:
    """The manifest of a fetched model; {} for a folder that was not fetched from Hugging Face."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}): remove {folder} and fetch the model again") from error
    return manifest


def damaged(folder: Path) -> list[str]:
    """The files of a fetched model that are gone or are not what came, by its manifest's sha256."""
    files: Mapping[str, str] = manifest_of(folder).get("files", {})
    return [
        file for file, digest in files.items() if not (folder / file).is_file() or sha256_of(folder / file) != digest
    ]


def _download(name: HubName, revision: str | None, work: Path) -> str:
    """Fill the folder with what is needed of the model at a revision, and its manifest; the commit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # its client's, which differs by version

    # Said at each call: the client reads the variable once, when it is imported.
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        info = api.model_info(name.id, revision=revision, files_metadata=True)
        commit = str(info.sha)
        digests = {}
        files = {file.rfilename: file for file in info.siblings or [] if _is_inside(PurePosixPath(file.rfilename))}
        for table in _TABLES:
            if table in files:
                digests[table] = _one(api, name, files[table], commit, work)
        for path in _wanted(name, files, _folders(work)):
            digests[path] = _one(api, name, files[path], commit, work)
    except (HTTPError, OSError) as error:
        raise ModelError(f"model {name}: {_reason(name, error, api.endpoint)}") from error
    manifest = {"model": name.id, "revision": name.revision, "commit": commit, "files": digests}
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return commit


def _one(api: HfApi, name: HubName, file: RepoSibling, commit: str, work: Path) -> str:
    """Download one file, or what of it is not there yet; its sha256, which is the published one where there is one."""
    path = Path(api.hf_hub_download(name.id, file.rfilename, revision=commit, local_dir=work))
    digest = sha256_of(path)
    published = file.lfs.sha256 if file.lfs else None
    if published is None and file.blob_id and _git_id(path) != file.blob_id:
        published = f"of git object {file.blob_id}"
    if published is not None and published != digest:
        path.unlink()
        raise ModelError(
            f"model {name}: {file.rfilename} came with sha256 {digest}, expected {published}; it was not installed: fetch again"
        )
    return digest


def _git_id(path: Path) -> str:
    """The name that git gives the content of a small file."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _folders(work: Path) -> set[str]:
    """The folders of the model's modules, by the files that were downloaded; "" is the repository's own."""
    folders = {""}
    modules, router = (work / table for table in _TABLES)
    if modules.is_file():
        folders |= {str(module.get("path", "")) for module in json.loads(modules.read_bytes())}
    if router.is_file():
        folders |= set(json.loads(router.read_bytes()).get("types", {}))
    return folders


def _wanted(name: HubName, files: Mapping[str, RepoSibling], folders: set[str]) -> list[str]:
    """Settings, tokenizer and licence, and safetensors or else a float32 export for ONNX; never a pickle."""
    own = [path for path in files if path.rpartition("/")[0] in folders]
    texts = [path for path in own if path.endswith(_TEXT) or path.upper().startswith(("LICENSE", "NOTICE"))]
    weights = [path for path in own if _is_weights(path.rpartition("/")[2])]
    if not weights:
        export = next((path for path in _EXPORTS if path in files), None)
        weights = [path for path in files if export and (path == export or path.startswith(f"{export}_data"))]
    if not weights:
        pickles = sorted(path for path in files if path.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")))
        raise ModelError(
            f"model {name}: the repository has no model.safetensors and no {_EXPORTS[0]}"
            + (
                f", but {', '.join(pickles[:3])}, which can run code when they are read: a conversion may lie in one of its "
                f"pull requests ({name.id}@refs/pr/1)"
                if pickles
                else ": it is not a model of this kind"
            )
        )
    if not any(path.rpartition("/")[2] == "tokenizer.json" for path in own):
        raise ModelError(f"model {name}: the repository has no tokenizer.json: choose a model with a fast tokenizer")
    return [path for path in (*texts, *weights) if path not in _TABLES]


def _is_weights(name: str) -> bool:
    """model.safetensors or one of its shards; not a copy with another number of bits."""
    stem, _, suffix = name.partition(".")
    return suffix == "safetensors" and (stem == "model" or stem.startswith("model-"))


def _is_inside(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts and not any(part.startswith(".") for part in path.parts)


def _move(work: Path, folder: Path) -> None:
    """Put what was downloaded in its place in one step."""
    shutil.rmtree(work / ".cache", ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():
        old = work.with_name(f"{work.name}-old")
        os.rename(folder, old)
        os.rename(work, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(work, folder)


def _reason(name: HubName, error: Exception, endpoint: str) -> str:
    """What an error of the client means, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    page = f"{endpoint}/{name.id}"
    if constants.is_offline_mode():
        return "HF_HUB_OFFLINE is set, so that nothing is downloaded: unset it, or copy the model's folder here"
    if isinstance(error, GatedRepoError):
        return f"it is gated: accept its terms at {page} and set HF_TOKEN to a token of that account"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {name.revision!r}: see {page}"
    if isinstance(error, RepositoryNotFoundError):
        return f"there is none at {page}, or it is private: check the spelling, and HF_TOKEN for a private one"
    if isinstance(error, HfHubHTTPError):
        return f"{endpoint} answered {error.response.status_code}: try again later"
    return f"{endpoint} cannot be reached or broke off ({error}): fetch again, what came is kept; HF_ENDPOINT names a mirror"
