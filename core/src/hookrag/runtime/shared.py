"""Components that several pipelines use: made once, and closed when the last pipeline that uses them is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hookrag.errors import HookragError
from hookrag.runtime.component import Instance
from hookrag.runtime.proxies import Proxy
from hookrag.values import Step


@dataclass(slots=True)
class Shared:
    """Instances by fingerprint with the number of pipelines that use each; the last one to leave closes it."""

    instances: dict[str, Instance] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, proxies: Sequence[Proxy]) -> None:
        with self.lock:
            for fingerprint in {proxy.step.fingerprint for proxy in proxies}:
                self.users[fingerprint] = self.users.get(fingerprint, 0) + 1

    def leave(self, proxies: Sequence[Proxy]) -> None:
        """Close what nobody uses any more, those that refer before those referred to; the first error is raised at the end."""
        with self.lock:
            idle: list[tuple[Step, Instance]] = []
            first: dict[str, Proxy] = {}  # two tables may share an instance, which is left once
            for proxy in proxies:
                first.setdefault(proxy.step.fingerprint, proxy)
            for fingerprint, proxy in reversed(first.items()):
                self.users[fingerprint] -= 1
                if not self.users[fingerprint]:
                    del self.users[fingerprint]
                    idle.append((proxy.step, self.instances.pop(fingerprint, proxy.instance)))
        errors: list[HookragError] = []
        for step, instance in idle:
            try:
                instance.close(step)
            except HookragError as error:
                errors.append(error)
        for other in errors[1:]:
            errors[0].add_note(str(other))
        if errors:
            raise errors[0]
