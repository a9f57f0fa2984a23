"""The command line `hookrag`: its commands are loaded when they are called, those of plugins too."""

from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from typing import Any

import click

from hookrag import __version__
from hookrag.cli.exits import Exit, code_of

COMMANDS = {
    "init": ("hookrag.cli.start:init", "Write a commented hookrag.toml that fits what is installed."),
    "check": ("hookrag.cli.inspect:check", "Find every problem of the configuration."),
    "plugins": ("hookrag.cli.plugins:plugins", "List the components that are installed, or show the options of one."),
    "schema": ("hookrag.cli.inspect:schema", "Print a JSON Schema of hookrag.toml, for editors."),
    "index": ("hookrag.cli.index:index", "Bring files into the index; what did not change costs nothing."),
    "search": ("hookrag.cli.search:search", "Find the chunks that match best."),
    "ask": ("hookrag.cli.ask:ask", "Answer questions, with sources."),
    "status": ("hookrag.cli.status:status", "Say what is in the index, what failed, and who is writing it."),
    "reindex": ("hookrag.cli.reindex:reindex", "Make the index anew while the old one is searched, then switch."),
    "verify": ("hookrag.cli.index:verify", "Compare the index with its journal, and mend it."),
}

EPILOG = """\b
Exit codes:
  0  done
  1  failed
  2  the command line or the configuration is wrong
  3  refused, because something could be lost: the message names the option that allows it
  4  done, but some documents could not be taken: they are listed
  5  another process is writing the index
  130  stopped by Ctrl-C; whatever was begun is whole

\b
Start here:
  hookrag init            write hookrag.toml
  hookrag index docs/     fill the index
  hookrag ask "Why?"      ask
"""


class Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(set(_plugin_commands(ctx)) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        offer = _plugin_commands(ctx).get(cmd_name)
        return offer.load() if offer else None

    def invoke(self, ctx: click.Context) -> Any:
        # Caught here, because click makes its own of both further out: an Abort without notes, and exit code 1.
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            click.echo("\n".join(getattr(interrupt, "__notes__", ["stopped"])), err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED) from interrupt
        except BrokenPipeError as error:
            # The reader of a pipe went away (`| head`): nothing is wrong here.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(Exit.DONE) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name not in COMMANDS and name not in _plugin_commands(ctx):
            from difflib import get_close_matches

            near = get_close_matches(name, self.list_commands(ctx), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        # The one-line summaries stand here and in the plugins' registrations, so that help imports no command.
        rows = [(name, summary) for name, (_, summary) in COMMANDS.items()]
        plugins = sorted((name, offer.component.summary) for name, offer in _plugin_commands(ctx).items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if plugins:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(plugins)


def _plugin_commands(ctx: click.Context) -> dict[str, Any]:
    """The commands of plugins by name; they are read once a command line, because that takes longer than all else here."""
    found: dict[str, Any] | None = ctx.meta.get(__name__)
    if found is None:
        from hookrag.config.catalogue import Catalogue

        offers = Catalogue.installed().of_kind("command")
        # A name that several plugins offer, or that is a command of the core, is reached as plugin:name.
        taken = Counter([*COMMANDS, *(offer.name for offer in offers)])
        found = {offer.name if taken[offer.name] == 1 else f"{offer.plugin}:{offer.name}": offer for offer in offers}
        ctx.meta[__name__] = found
    return found


@click.group(cls=Lazy, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="hookrag %(version)s")
def hookrag() -> None:
    """Answers from your documents, by a pipeline of plugins that one TOML file describes."""


def main() -> None:
    """Run the command line and exit."""
    try:
        code = hookrag.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else Exit.DONE)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(Exit.INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except Exception as error:
        code = code_of(error)
        if code is None:
            raise
        from hookrag.cli.terminal import print_error

        print_error(error)
        sys.exit(code)


if __name__ == "__main__":
    main()
