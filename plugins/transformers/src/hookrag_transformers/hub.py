"""Models from Hugging Face: what is needed of a repository, at one commit, with a manifest of what came."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from hookrag_transformers.files import json_of, sha256_of
from hookrag_transformers.models import EXPORTS, MANIFEST, HubName, ModelError, models_folder

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_TEXT = (".json", ".txt")
# What says which folders of a repository belong to the model; there may be others, of checkpoints and other formats.
_TABLES = ("modules.json", "router_config.json")


def fetch_from_hub(name: HubName, say: Callable[[str], None]) -> Path:
    """The folder of the model, fetched where it is absent or damaged.

    A connection that breaks is taken up where it was, by the client; after a run that was cut off, the files that came whole
    are kept. HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured. Raises ModelError.
    """
    folder = name.folder
    if folder.is_dir():
        wrong = damaged(folder)
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
            if not folder.is_dir() or damaged(folder):
                # A damaged one is mended, not replaced by what is newest now.
                commit = _download(name, manifest_of(folder).get("commit") or name.revision, work)
                _move(name, work, folder)
                say(f"{name} fetched at commit {commit}: {folder}")
            else:
                say(f"{name} is there: {folder}")
    finally:
        with suppress(OSError):
            work.rmdir()  # where nothing came, nothing is kept
        lock.unlink(missing_ok=True)
    return folder


def manifest_of(folder: Path) -> Mapping[str, Any]:
    """The manifest of a fetched model; {} for a folder that has none. Raises ModelError for what is no manifest."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        manifest: Mapping[str, Any] = json_of(path)
        if not isinstance(manifest.get("files"), dict):
            raise ValueError("has no table of files")
    except ValueError as error:
        raise ModelError(f"{path} {error}: remove {folder} and fetch the model again") from error
    return manifest


def damaged(folder: Path) -> list[str]:
    """The files of a fetched model that are gone or are not what came, by its manifest's sha256."""
    return differing(folder, manifest_of(folder).get("files", {}))


def differing(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Those of the files that the folder has not, or not with that sha256."""
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
        info = _info(api, name, revision)
        commit = str(info.sha)
        digests = {}
        files = {file.rfilename: file for file in info.siblings or [] if _is_taken(PurePosixPath(file.rfilename))}
        for table in _TABLES:
            if table in files:
                digests[table] = _one(api, name, files[table], commit, work)
        for path in _wanted(name, files, _modules(name, work)):
            digests[path] = _one(api, name, files[path], commit, work)
    except (HTTPError, OSError) as error:
        raise ModelError(f"model {name}: {_reason(name, error, api.endpoint)}") from error
    shutil.rmtree(work / ".cache", ignore_errors=True)
    for left in [path for path in work.rglob("*") if path.is_file()]:
        if left.relative_to(work).as_posix() not in digests:
            left.unlink()  # of another commit, by a fetch that failed
    manifest = {"model": name.id, "revision": name.revision, "commit": commit, "files": digests}
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return commit


def _info(api: HfApi, name: HubName, revision: str | None) -> ModelInfo:
    """The commit and the files of the model. What is no answer of a hub, as the page of a proxy, raises ModelError."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return api.model_info(name.id, revision=revision, files_metadata=True)
    except HfHubHTTPError:  # of which one is a ValueError too
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"model {name}: what {api.endpoint} answered does not describe a model ({type(error).__name__}: {error}): "
            "see whether HF_ENDPOINT is right, and whether a proxy or a page to log in stands between"
        ) from error


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


def _modules(name: HubName, work: Path) -> dict[str, str]:
    """The kind of the module in each folder of the model, by the files that were downloaded; "" is the repository's own."""
    read: dict[str, Any] = {}
    for table in _TABLES:
        if (work / table).is_file():
            try:
                read[table] = json_of(work / table)
            except ValueError as error:
                raise ModelError(
                    f"model {name}: {table} in its repository {error}: choose another revision or another model"
                ) from error
    kinds = {str(one.get("path", "")): str(one.get("type", "")) for one in read.get("modules.json", [])}
    types = read.get("router_config.json", {}).get("types")
    kinds |= types if isinstance(types, dict) else {}
    return {path: str(kind).rpartition(".")[2] for path, kind in kinds.items()} or {"": "Transformer"}


def _wanted(name: HubName, files: Mapping[str, RepoSibling], modules: Mapping[str, str]) -> list[str]:
    """Settings, tokenizer and licence, and the weights of each module that has any; never a pickle."""
    own = [path for path in files if path.rpartition("/")[0] in {"", *modules}]
    texts = [path for path in own if path.endswith(_TEXT) or path.upper().startswith(("LICENSE", "NOTICE"))]
    weights: list[str] = []
    for folder, kind in modules.items():
        if kind in ("Transformer", "Dense"):
            weights += _weights(name, files, f"{folder}/" if folder else "", EXPORTS if kind == "Transformer" else ())
    weights = weights or _weights(name, files, "", EXPORTS)
    if not any(path.rpartition("/")[2] == "tokenizer.json" for path in own):
        raise ModelError(f"model {name}: the repository has no tokenizer.json: choose a model with a fast tokenizer")
    return [path for path in (*texts, *weights) if path not in _TABLES]


def _weights(name: HubName, files: Mapping[str, RepoSibling], inside: str, exports: Sequence[str]) -> list[str]:
    """The safetensors in a folder, else a float32 export for ONNX where one will do. Raises ModelError where there is none."""
    weights = [path for path in files if path.startswith(inside) and _is_weights(path.removeprefix(inside))]
    if not weights:
        export = next((inside + path for path in exports if inside + path in files), None)
        weights = [path for path in files if export and (path == export or path.startswith(f"{export}_data"))]
    if not weights:
        pickles = sorted(
            path
            for path in files
            if path.startswith(inside) and path.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl"))
        )
        sought = " and no ".join(inside + path for path in ("model.safetensors", *exports[:1]))
        raise ModelError(
            f"model {name}: the repository has no {sought}"
            + (
                f", but {', '.join(pickles[:3])}, which can run code when they are read: a conversion may lie in one of its "
                f"pull requests ({name.id}@refs/pr/1)"
                if pickles
                else ": it is not a model of this kind"
            )
        )
    return weights


def _is_weights(name: str) -> bool:
    """model.safetensors or one of its shards; not a copy with another number of bits."""
    stem, _, suffix = name.partition(".")
    return suffix == "safetensors" and (stem == "model" or stem.startswith("model-"))


def _is_taken(path: PurePosixPath) -> bool:
    """Whether a file of the repository may have a place in the model's folder; no model has a name with a backslash."""
    outside = path.is_absolute() or any(part.startswith(".") for part in path.parts) or "\\" in str(path)
    return not outside and str(path) != MANIFEST


def _move(name: HubName, work: Path, folder: Path) -> None:
    """Put what was downloaded in its place: a new model in one step; a damaged one file by file, the manifest last.

    So a run that is killed leaves the manifest, and with it the commit that the model is mended at.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            os.rename(work, folder)
            return
        for path in sorted(work.rglob("*"), key=lambda path: path.name == MANIFEST):
            if path.is_file():
                place = folder / path.relative_to(work)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
        shutil.rmtree(work)
    except OSError as error:
        raise ModelError(f"model {name}: {folder} cannot be replaced ({error}): remove it and fetch again") from error


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
        status = error.response.status_code
        if status in (401, 403):
            return f"{endpoint} answered {status}: set HF_TOKEN to a token of an account that may read {page}"
        if status == 429 or status >= 500:
            return f"{endpoint} answered {status}: try again later"
        return f"{endpoint} answered {status}: see {page}"
    return f"{endpoint} cannot be reached or broke off ({error}): fetch again, what came is kept; HF_ENDPOINT names a mirror"
