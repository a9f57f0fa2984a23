"""What a store's rows are: the chunker and embedders that made them, as the flat object on its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from hookrag.errors import ConfigError, HookragError, TransientError
from hookrag.ingest import Target
from hookrag.runtime.component import walk
from hookrag.runtime.proxies import EmbedderProxy, Proxy, StoreProxy

Flat = dict[str, str | int | float | bool | None]


def stores_of(roots: Sequence[Proxy]) -> list[StoreProxy]:
    """The stores that these components refer to, directly or not, in a fixed order."""
    return [proxy for proxy in walk(roots) if isinstance(proxy, StoreProxy)]


def targets_of(stores: Sequence[StoreProxy], *, even_if_broken: bool = False) -> list[Target]:
    """The stores as ingest wants them. Opens their embedders: an identity says which weights they have.

    With `even_if_broken`, a store that cannot be opened is among them, and is opened again at its first use.
    """
    names = [store.step.name for store in stores]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                [
                    f"two stores of the pipeline are called {name!r}, because each was in another pipeline before: "
                    f"make the objects anew for this one, or describe it by a configuration"
                ]
            )
    return [_target(store, even_if_broken=even_if_broken) for store in stores]


def _target(store: StoreProxy, *, even_if_broken: bool) -> Target:
    identity = describe("chunker", store.chunker)
    keys = {}
    for output, embedder in store.embedders.items():
        told = _embedder(output, embedder)
        identity.update(told)
        keys[output] = digest({key.removeprefix(f"{output}."): value for key, value in told.items()})
    if store.can("identity"):
        try:
            own = store.identity()
        except HookragError as error:
            # What may pass may have passed at the first use, which would be of a store with half an identity.
            if not even_if_broken or isinstance(error, TransientError):
                raise
        else:
            identity.update({f"store.{key}": value for key, value in own.items()})
    return Target(
        name=store.step.name,
        store=store,
        recipe=digest(identity),
        identity=identity,
        embed_key=keys,
        fenced=bool(getattr(store.instance.component, "fenced", False)),
        keeps_vectors=getattr(store.instance.component, "keeps_vectors", "exact"),
        check_files=store.verify if store.can("verify") else None,
    )


def describe(prefix: str, proxy: Proxy) -> Flat:
    """What a component is by its settings: its name, its class's `version`, its values, and what it refers to."""
    component = proxy.instance.component
    told: Flat = {f"{prefix}.use": proxy.step.use, f"{prefix}.version": getattr(component, "version", 1)}
    for key, value in proxy.instance.settings.items():
        plain = (
            value if value is None or isinstance(value, str | int | float | bool) else json.dumps(value, default=str)
        )
        told[f"{prefix}.{key}"] = plain
    for key, reference in proxy.instance.references.items():
        if isinstance(reference, EmbedderProxy):
            told.update(_embedder(f"{prefix}.{key}", reference))
        elif isinstance(reference, Proxy):
            told.update(describe(f"{prefix}.{key}", reference))
        elif reference is not None:
            named = reference.items() if isinstance(reference, Mapping) else enumerate(reference)
            for name, one in named:
                told.update(describe(f"{prefix}.{key}.{name}", one))
    return told


def _embedder(prefix: str, embedder: Any) -> Flat:
    identity = embedder.identity()
    return {**{f"{prefix}.{key}": value for key, value in identity.document.items()}, f"{prefix}.space": identity.space}


def digest(told: Mapping[str, Any]) -> str:
    """A short name for equal objects."""
    return blake2b(json.dumps(dict(told), sort_keys=True).encode(), digest_size=16).hexdigest()
