"""The model hub as a source of files."""

from __future__ import annotations

import contextlib
import importlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_hybrid_memory.errors import ModelUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Hub:
    """A file of a repository on the model hub; the hub's own library resumes what was cut off.

    Attributes:
        repository: Owner and name.
        file_name: Path within the repository.
        revision: The commit the checksum was recorded for.
    """

    repository: str
    file_name: str
    revision: str

    def __str__(self) -> str:
        """Name the source to a person."""
        return f"the model hub ({self.repository})"

    def download(self, folder: Path) -> Path:
        """Download into a folder of its own below `folder`."""
        hub: Any = importlib.import_module("huggingface_hub")  # its submodules do not mark what they export
        errors: Any = importlib.import_module("huggingface_hub.errors")
        try:
            with _hushed():
                # the download retries for half a minute before it says that there is no hub; this asks once
                hub.utils.get_session().head(hub.constants.ENDPOINT, timeout=TIMEOUT_SECONDS)
                found: str = hub.hf_hub_download(
                    self.repository,
                    self.file_name,
                    revision=self.revision,
                    local_dir=folder / "hub",
                    etag_timeout=TIMEOUT_SECONDS,
                )
        except (OSError, RuntimeError, errors.HTTPError) as error:
            msg = str(error).strip().partition("\n")[0] or type(error).__name__
            raise ModelUnavailableError(msg) from error
        return Path(found)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Keep the hub's own progress bars and log lines off the terminal; ours say it."""
    utils: Any = importlib.import_module("huggingface_hub.utils")
    had_bars, verbosity = not utils.are_progress_bars_disabled(), utils.logging.get_verbosity()
    utils.disable_progress_bars()
    utils.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        utils.logging.set_verbosity(verbosity)
        if had_bars:
            utils.enable_progress_bars()
