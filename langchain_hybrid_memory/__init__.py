"""Buffer, summary, entity and long-term memory for LangChain and LangGraph agents."""

from langchain_hybrid_memory.config import (
    BufferConfig,
    ExtractConfig,
    MemorizeConfig,
    RankingWeights,
    RecallConfig,
    RecordConfig,
    SummaryConfig,
)
from langchain_hybrid_memory.embedding import create_embedding
from langchain_hybrid_memory.errors import (
    AmbiguousNameError,
    ConcurrentTurnError,
    ConfigurationError,
    EmbeddingMismatchError,
    ExtractionError,
    FilterError,
    HybridMemoryError,
    ImportFormatError,
    MissingUserError,
    ModelUnavailableError,
    StorageError,
    StoreInUseError,
    UnknownFactError,
)
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.memories import Entity, Fact, Hit, Message, Moment, Provenance, Receipt
from langchain_hybrid_memory.middleware import HybridMemoryMiddleware
from langchain_hybrid_memory.rebuild import Rebuilt
from langchain_hybrid_memory.redaction import without_secrets
from langchain_hybrid_memory.retriever import MemoryRetriever
from langchain_hybrid_memory.status import Status
from langchain_hybrid_memory.store import ChromaStore, HybridItem
from langchain_hybrid_memory.user_memory import UserMemory

__all__ = [
    "AmbiguousNameError",
    "BufferConfig",
    "ChromaStore",
    "ConcurrentTurnError",
    "ConfigurationError",
    "EmbeddingMismatchError",
    "Entity",
    "ExtractConfig",
    "ExtractionError",
    "Fact",
    "FilterError",
    "Hit",
    "HybridItem",
    "HybridMemory",
    "HybridMemoryError",
    "HybridMemoryMiddleware",
    "ImportFormatError",
    "MemorizeConfig",
    "MemoryRetriever",
    "Message",
    "MissingUserError",
    "ModelUnavailableError",
    "Moment",
    "Provenance",
    "RankingWeights",
    "Rebuilt",
    "RecallConfig",
    "Receipt",
    "RecordConfig",
    "Status",
    "StorageError",
    "StoreInUseError",
    "SummaryConfig",
    "UnknownFactError",
    "UserMemory",
    "create_embedding",
    "without_secrets",
]
