"""Long-term persistence: `ChromaStore` behind LangGraph's `BaseStore`."""

from __future__ import annotations

from langchain_hybrid_memory.store._items import HybridItem, Signals
from langchain_hybrid_memory.store.chroma import ChromaStore

__all__ = ["ChromaStore", "HybridItem", "Signals"]
