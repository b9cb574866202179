"""Buffer, summary, entity and long-term memory for LangChain and LangGraph agents."""

from langchain_hybrid_memory.background import Status
from langchain_hybrid_memory.config import BufferConfig, ExtractConfig, RankingWeights, RecallConfig, SummaryConfig
from langchain_hybrid_memory.embedding import create_embedding
from langchain_hybrid_memory.errors import (
    ConfigurationError,
    ExtractionError,
    FilterError,
    HybridMemoryError,
    ImportFormatError,
    MissingUserError,
    ModelUnavailableError,
    StorageError,
)
from langchain_hybrid_memory.hybrid_memory import HybridMemory
from langchain_hybrid_memory.memories import Entity, Fact, Hit, Message, Receipt
from langchain_hybrid_memory.middleware import HybridMemoryMiddleware
from langchain_hybrid_memory.store import ChromaStore, HybridItem
from langchain_hybrid_memory.user_memory import UserMemory

__all__ = [
    "BufferConfig",
    "ChromaStore",
    "ConfigurationError",
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
    "Message",
    "MissingUserError",
    "ModelUnavailableError",
    "RankingWeights",
    "RecallConfig",
    "Receipt",
    "Status",
    "StorageError",
    "SummaryConfig",
    "UserMemory",
    "create_embedding",
]
