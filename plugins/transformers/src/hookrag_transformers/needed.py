"""Which models a configuration needs: those that its pipelines' components name."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hookrag import ConfigError

_NAME = "hookrag.toml"


def config_file(chosen: Path | None) -> Path | None:
    """The configuration that was named, or the nearest one here or in a folder above; None where there is none."""
    if chosen is not None:
        return chosen
    here = Path.cwd()
    return next((folder / _NAME for folder in (here, *here.parents) if (folder / _NAME).is_file()), None)


def models_of(config: Path) -> list[str]:
    """The models of every pipeline of the file, each once, as it names them. Raises ConfigError; opens nothing."""
    from hookrag import Pipeline  # brings the builder, which other commands do without

    try:
        tables = tomllib.loads(config.read_bytes().decode("utf-8-sig")).get("pipelines", {})
    except (OSError, ValueError) as error:
        raise ConfigError([f"{config}: cannot be read: {error}"]) from error
    found: dict[str, None] = {}
    # What is no table is refused by the core, which says where it stands.
    for name in tables if tables and isinstance(tables, dict) else ["default"]:
        with Pipeline.from_config(config, pipeline=name) as pipeline:
            for part in pipeline.components:
                offered = getattr(part.instance.component, "models", None)
                found.update(dict.fromkeys(offered() if callable(offered) else ()))
    return list(found)
