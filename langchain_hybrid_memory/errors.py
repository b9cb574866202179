"""Every exception the library raises."""

from __future__ import annotations


class HybridMemoryError(Exception):
    """The root of the library's exceptions."""


class ConfigurationError(HybridMemoryError, ValueError):
    """A setting or model cannot work as given; raised when it is built, not when it is run."""


class EmbeddingMismatchError(ConfigurationError):
    """A store's vectors come from another embedding model than the one it was opened with; the message names both."""


class MissingUserError(HybridMemoryError):
    """A run named no user, so there is no memory it may touch."""


class ConcurrentTurnError(HybridMemoryError):
    """A turn began on a thread that is still answering another message in this process."""


class ExtractionError(HybridMemoryError):
    """A model's answer could not be used, even after one repair; the episodes stay pending."""


class UnknownFactError(HybridMemoryError, LookupError):
    """The user has no fact of that id that stands for itself; the message says where ids come from."""


class AmbiguousNameError(HybridMemoryError, LookupError):
    """Several entities go by a name; the message gives the names to choose from."""


class FilterError(HybridMemoryError, ValueError):
    """A search filter uses an operator or operand the store does not know."""


class StorageError(HybridMemoryError):
    """The long-term store cannot be opened, read or written; the message names the path and the remedy."""


class StoreInUseError(StorageError):
    """Another process owns the store's directory; the message names it."""


class ModelUnavailableError(HybridMemoryError):
    """A model's files or endpoint cannot be reached; the message names what was tried and the remedy."""


class ImportFormatError(HybridMemoryError, ValueError):
    """A file to import holds a line that cannot be read; the message names the line."""


class StepFailedError(HybridMemoryError):
    """A step in the background failed; stands for an exception that is not ours, whose text may quote a memory."""


def describe(error: BaseException | None) -> str:
    """Name an error without its text where that is not ours: a provider's message may quote what was remembered."""
    if isinstance(error, StepFailedError):
        return str(error)
    if isinstance(error, HybridMemoryError):
        return f"{type(error).__name__}: {error}"
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f" (status {status})" if status else "")
