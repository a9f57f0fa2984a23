"""Runs the command line in forked children of one process that has everything imported: starting Python takes a second.

Reads one JSON object a line, {"folder", "argv", "environment", "log"}, and answers with the exit code, negative for a signal.
It forks before any store is opened, so that no child inherits a thread, a lock or a connection.
"""

from __future__ import annotations

import json
import os
import sys
import traceback


def rows() -> None:
    """Every row of every store: {store: [[chunk id, check], ...]}, as JSON on standard output."""
    from hookrag import Pipeline

    with Pipeline.from_config("hookrag.toml") as pipeline:
        found = {
            store.step.name: sorted([key.chunk_id, key.check] for page in store.scan() for key in page)
            for store in pipeline.stores
        }
    print(json.dumps(found))


def child(request: dict) -> int:
    from hookrag.cli.main import main

    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for argv in request["argv"]:
        if argv == ["rows"]:
            rows()
            continue
        sys.argv = ["hookrag", *argv]
        try:
            main()
        except SystemExit as done:
            if done.code:
                return int(done.code)
    return 0


def serve(modules: list[str]) -> None:
    import importlib

    for module in modules:
        importlib.import_module(module)
    # Not the command that is asked for, but all that it needs: click loads its commands late.
    import hookrag.cli.index
    import hookrag.cli.main
    import hookrag.pipeline  # noqa: F401
    import tenacity  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = child(json.loads(line))
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1:])
