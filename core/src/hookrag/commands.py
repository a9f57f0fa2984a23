"""What the command of a plugin needs: the options that every command has, a pipeline opened from them, and ways to print.

    @click.command()
    @config_option
    @pipeline_option
    @progress_option
    @json_option
    def learn(config: Path | None, pipeline: str, style: Style, as_json: bool) -> None:
        with opened(config, pipeline) as made, showing(style) as progress:
            ...

Import it in the module of the command and not in that of the plugin's hooks, because it brings click.
"""

from __future__ import annotations

from hookrag.cli.common import (
    config_option,
    config_path,
    json_option,
    opened,
    pipeline_names,
    pipeline_option,
    say_if_empty,
)
from hookrag.cli.exits import Exit
from hookrag.cli.progress import Style, progress_option, showing
from hookrag.cli.terminal import on_terminal, plain, print_error, print_json, print_table, styled

__all__ = [
    "Exit",
    "Style",
    "config_option",
    "config_path",
    "json_option",
    "on_terminal",
    "opened",
    "pipeline_names",
    "pipeline_option",
    "plain",
    "print_error",
    "print_json",
    "print_table",
    "progress_option",
    "say_if_empty",
    "showing",
    "styled",
]
