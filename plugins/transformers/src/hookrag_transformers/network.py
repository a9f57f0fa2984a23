"""A model in torch: any family that transformers knows, from safetensors, and never with code of the model's own.

Float32 agrees with ONNX Runtime to 1e-5. What a batch's size does to the order of additions inside torch shows in the last
digits only; padding and masks do nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hookrag_transformers.architecture import Floats, refuse_other_code
from hookrag_transformers.checkpoint import Checkpoint, tensors_of
from hookrag_transformers.graph import Head
from hookrag_transformers.models import ModelError
from hookrag_transformers.runtime import batches, filled
from hookrag_transformers.tokens import Sequences


class Network:
    """An encoder ("tokens", "first") or a sequence classifier ("scores") in torch. Safe from several threads."""

    def __init__(self, checkpoint: Checkpoint, head: Head, device: str, dtype: str, threads: int) -> None:
        import torch

        self._where = f"model {checkpoint.model.name}"
        with _quiet():
            try:
                network = _loaded(checkpoint, head, getattr(torch, dtype))
            except ModelError:
                raise
            except (
                Exception
            ) as error:  # of safetensors, torch and transformers, for files that are not what they should be
                raise ModelError(
                    f"{self._where}: transformers cannot load {checkpoint.files[0]} with its config.json "
                    f"({type(error).__name__}: {error}): fetch or copy the model again"
                ) from error
        self._network = network.to(device).eval()
        self._first = head == "first"
        self._scores = head == "scores"
        self._device = torch.device(device)
        self._exact = dtype == "float32"
        self._threads = threads
        config = network.config
        config.use_cache = False  # keys and values are kept for a next token, which there is not
        # Some families tell padding by its id, too.
        padding = getattr(config, "pad_token_id", None)
        self._padding = padding if isinstance(padding, int) and padding > 0 else 0
        self._inputs = frozenset(inspect.signature(network.forward).parameters)

    def run(
        self, sequences: Sequences, budget: int
    ) -> Iterator[tuple[list[int], NDArray[np.float32], NDArray[np.intp]]]:
        """(indices, output, lengths) of each batch of at most `budget` padded tokens; every index comes once."""
        import torch

        self._prepare_thread()
        lengths = [len(ids) for ids in sequences.ids]
        for _, chosen in batches(lengths, budget):
            counts = np.array([lengths[i] for i in chosen], dtype=np.intp)
            padded = int(counts.max())
            feed = {
                "input_ids": filled([sequences.ids[i] for i in chosen], padded, self._padding),
                "token_type_ids": filled([sequences.types[i] for i in chosen], padded),
                "attention_mask": (np.arange(padded) < counts[:, None]).astype(np.int32),
            }
            with torch.inference_mode():
                given = {
                    name: torch.from_numpy(array.astype(np.int64)).to(self._device)
                    for name, array in feed.items()
                    if name in self._inputs
                }
                made = self._network(**given)
                output = made.logits if self._scores else made.last_hidden_state
                output = output[:, :1] if self._first else output
                yield chosen, output.float().cpu().numpy(), counts

    def _prepare_thread(self) -> None:
        import torch

        # torch keeps the number for each thread that calls it.
        if self._device.type == "cpu" and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        if self._device.type == "cuda" and self._exact and torch.get_float32_matmul_precision() != "highest":
            raise ModelError(
                f"{self._where}: torch.set_float32_matmul_precision({torch.get_float32_matmul_precision()!r}) was called in "
                'this process, so that float32 would be computed as TF32: set it to "highest", or use dtype = "bfloat16"'
            )


def _loaded(checkpoint: Checkpoint, head: Head, dtype: Any) -> Any:
    """The network of transformers with all of its weights."""
    from transformers import AutoModel, AutoModelForSequenceClassification, AutoModelForTextEncoding

    config = _config(checkpoint)
    auto: Any = AutoModelForSequenceClassification if head == "scores" else AutoModel
    if head != "scores" and getattr(config, "is_encoder_decoder", False):
        auto = AutoModelForTextEncoding  # T5's encoder alone
    where = f"model {checkpoint.model.name}"
    if checkpoint.form == "quantised" or checkpoint.model.read("config.json").get("model_type") == "dpr":
        network = auto.from_config(config, dtype=dtype)
        missing = _fill(network, tensors_of(checkpoint))
    else:
        network, told = auto.from_pretrained(
            checkpoint.model.folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        missing = set(told["missing_keys"])
    # A pooler that the checkpoint lacks is not used: what pools is read from the model's files.
    missing = {name for name in missing if head == "scores" or not name.startswith("pooler.")}
    if missing:
        raise ModelError(
            f"{where}: the weights lack {min(missing)!r}{f' and {len(missing) - 1} more' if len(missing) > 1 else ''}: "
            "the file is not the one that its config.json describes"
        )
    return network


def _config(checkpoint: Checkpoint) -> Any:
    from transformers import CONFIG_MAPPING, __version__

    config = dict(checkpoint.model.read("config.json"))
    where = f"model {checkpoint.model.name}"
    refuse_other_code(config, where)
    family = str(config.get("model_type"))
    family = "bert" if family == "dpr" else family
    if family not in CONFIG_MAPPING:
        raise ModelError(
            f"{where}: model_type is {family!r} in config.json, which transformers {__version__} does not know: "
            "upgrade it, or choose another model"
        )
    return CONFIG_MAPPING[family].from_dict({**config, "model_type": family})


def _fill(network: Any, tensors: Mapping[str, Floats]) -> set[str]:
    """Put the tensors where they belong; the names of those that are missing."""
    import torch

    own = network.state_dict()
    named = {}
    for name, tensor in tensors.items():
        inner = name.partition(".bert_model.")[2] or name.removeprefix(f"{network.base_model_prefix}.")
        for wanted in (name, inner, f"{network.base_model_prefix}.{inner}"):
            if wanted in own:
                named[wanted] = torch.from_numpy(np.array(tensor))
                break
    network.load_state_dict(named, strict=False)
    return set(own) - set(named)


@contextmanager
def _quiet() -> Iterator[None]:
    """Loading without the lines and bars that transformers writes."""
    from transformers.utils import logging as untyped

    logging: Any = untyped
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
