"""What runs behind a pipeline, and behind those that share it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from hookrag.errors import HookragError, nearest
from hookrag.runtime.component import walk
from hookrag.runtime.proxies import Proxy, ReaderProxy
from hookrag.runtime.shared import Shared
from hookrag.values import KINDS


class Running:
    """What a pipeline has in common with those that `scoped` makes of it: threads, open components, a checked index."""

    def __init__(self, roots: Sequence[Proxy], shared: Shared, *, threads: int) -> None:
        self.components: list[Proxy] = list(walk(roots))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="hookrag")
        self.checked = False
        self._readers: dict[str, ReaderProxy] | None = None
        self._shared = shared
        self._users = 0
        self._lock = threading.Lock()
        shared.enter(self.components)

    def enter(self) -> None:
        with self._lock:
            self._users += 1

    def leave(self, *, wait: bool) -> None:
        """Close what no other pipeline uses when the last one leaves."""
        with self._lock:
            self._users -= 1
            left = self._users
        if not left:
            self.pool.shutdown(wait=wait, cancel_futures=True)
            self._shared.leave([*self.components, *(self._readers or {}).values()])

    def readers(self, make: Callable[[], dict[str, ReaderProxy]]) -> dict[str, ReaderProxy]:
        """The readers by suffix, made when they are first asked for, and closed with the components."""
        with self._lock:
            if self._readers is None:
                self._readers = make()
                self._shared.enter(list(self._readers.values()))
            return dict(self._readers)

    def component(self, kind: str, name: str) -> Proxy:
        """The component of a table. Raises HookragError where there is none."""
        there = {one.step.name: one for one in self.components if one.step.kind == kind}
        if name not in there:
            raise HookragError(
                f"the pipeline has no {kind} {name!r}{nearest(name, there)}; {KINDS.get(kind, kind)}: "
                f"{', '.join(there) or 'none'}"
            )
        return there[name]

    def models(self) -> list[str]:
        """The names of the models that the components need, each once; nothing is opened."""
        named: dict[str, None] = {}
        for one in self.components:
            offered = getattr(one.instance.component, "models", None)
            named.update(dict.fromkeys(offered() if callable(offered) else ()))
        return list(named)
