"""What libraries report stays off the terminal; what goes wrong with memory does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import logging
from langchain_hybrid_memory.cli import _settle
_settle()
logging.getLogger("some.library").error("noise")
logging.getLogger("langchain_hybrid_memory").error("recall failed")
"""


def test_only_our_own_errors_reach_the_terminal() -> None:
    result = subprocess.run(  # noqa: S603 - our own script in our own interpreter
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert (result.stdout, result.stderr) == ("", "recall failed\n")
