"""The command line: `hybrid-memory chat`, `import`, `search` and `worker`."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from io import TextIOWrapper


def main() -> None:
    """Run the command that the process was started with, and end the process."""
    _settle()
    from langchain_hybrid_memory.cli.app import app

    app(prog_name="hybrid-memory")


def _settle() -> None:
    """Keep what libraries report off the person's terminal, and odd characters from ending the program."""
    warnings.simplefilter("ignore")
    logging.getLogger().addHandler(logging.NullHandler())  # else Python prints warnings nobody asked for
    logging.getLogger("langchain_hybrid_memory").addHandler(logging.StreamHandler())  # ours say what went wrong
    os.environ.setdefault("ANONYMIZED_TELEMETRY", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
