"""What runs behind a pipeline, and behind those that share it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from hookrag.runtime.component import walk
from hookrag.runtime.proxies import Proxy
from hookrag.runtime.shared import Shared


class Running:
    """What a pipeline has in common with those that `scoped` makes of it: threads, open components, a checked index."""

    def __init__(self, roots: Sequence[Proxy], shared: Shared, *, threads: int) -> None:
        self.components: list[Proxy] = list(walk(roots))
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="hookrag")
        self.checked = False
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
            self._shared.leave(self.components)

    def models(self) -> list[str]:
        """The names of the models that the components need, each once; nothing is opened."""
        named: dict[str, None] = {}
        for one in self.components:
            offered = getattr(one.instance.component, "models", None)
            named.update(dict.fromkeys(offered() if callable(offered) else ()))
        return list(named)
