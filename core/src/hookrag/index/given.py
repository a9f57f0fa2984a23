"""What a caller gave to be indexed: files and folders, named as the index knows them, or documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hookrag.errors import IngestRefused
from hookrag.ingest import Item, Progress, Skipped, Unread
from hookrag.ingest.coverage import known_places
from hookrag.ingest.files import Files
from hookrag.runtime.proxies import ReaderProxy
from hookrag.values import Document

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Source:
    """What is brought into the next generation; the fields are what `Ingest.run` takes."""

    documents: Iterable[Document | Item | Unread | Skipped]
    name: str
    under: str = ""
    root: Path | None = None
    progress: Callable[[Progress], None] | None = None
    path: Path | None = None
    doubled: Sequence[Path] = ()

    @classmethod
    def files(
        cls,
        path: Path,
        readers: Mapping[str, ReaderProxy],
        base: Path,
        progress: Callable[[Progress], None] | None,
        index: Path,
    ) -> Source:
        """A file, or a folder with all below it; its documents are named from `base`, or from the folder above elsewhere.

        What lies in `base` is of the source ".", so that a project that is moved with its index is the same. What the
        generation in the folder `index` has as a part or as the whole of something keeps the source and the ids that it has
        there; `doubled` are the paths below whose documents have other ids there.
        """
        recipes = {suffix: reader.step.fingerprint for suffix, reader in readers.items()}
        where, base = path.resolve(), base.resolve()
        known = [(base if name == "." else Path(name), under) for name, under in known_places(index)]
        given = [(root, root / under) for root, under in known if root.is_absolute()]
        roots = [
            root for root, part in given
            if where.is_relative_to(root) and (where.is_relative_to(part) or part.is_relative_to(where))
        ]  # fmt: skip
        default = base if where.is_relative_to(base) else where.parent
        root = max(roots, key=lambda one: len(one.parts), default=default)
        found = Files(where, readers, root=root, recipes=recipes)
        doubled = [part for other, part in given if other != found.root and part.is_relative_to(where)]
        counted = None
        if progress is not None:
            total, tell = found.count(), progress

            def counted(now: Progress) -> None:
                tell(replace(now, total=total))

        name = "." if found.root == base else str(found.root)
        return cls(found, name, found.under, where if where.is_dir() else None, counted, where, doubled)

    def check_single(self) -> None:
        """Raise IngestRefused where the index has documents of it by other ids, which would be found twice."""
        if self.doubled:
            tops = [part for part in sorted(set(self.doubled)) if not any(up in self.doubled for up in part.parents)]
            listed = "".join(f"\n  {part}" for part in tops[:SHOWN])
            listed += f"\n  and {len(tops) - SHOWN} more" if len(tops) > SHOWN else ""
            raise IngestRefused(
                f"{self.path} contains what was indexed by itself, whose documents would be in the index twice, by two ids:"
                f"{listed}\nIndex that and what lies beside it by themselves, or make the index anew with the whole in their "
                f"place: hookrag reindex --prune PATH..."
            )
