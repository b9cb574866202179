"""The tests; importing this package settles the environment before langgraph, the hub or a tracer can read it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="hybrid-memory-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

UNSET = (
    "LANGCHAIN_API_KEY",
    "LANGSMITH_API_KEY",
    "OLLAMA_HOST",
    "OPENAI_API_BASE",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROXY",
)
ENVIRONMENT = {
    "ANONYMIZED_TELEMETRY": "False",
    "HF_HOME": str(HOME / "hub"),
    "HF_HUB_OFFLINE": "1",
    "HOME": str(HOME),
    "LANGCHAIN_TRACING_V2": "false",
    "LANGGRAPH_STRICT_MSGPACK": "true",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1,localhost,::1",
    "TIKTOKEN_CACHE_DIR": str(HOME / "tiktoken"),
    "XDG_CACHE_HOME": str(HOME / "cache"),
    "XDG_CONFIG_HOME": str(HOME / "config"),
    "XDG_DATA_HOME": str(HOME / "data"),
    "XDG_STATE_HOME": str(HOME / "state"),
    "no_proxy": "127.0.0.1,localhost,::1",
}
for _name in UNSET:
    os.environ.pop(_name, None)
os.environ.update(ENVIRONMENT)
