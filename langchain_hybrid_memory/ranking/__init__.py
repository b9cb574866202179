"""Puts what the store found in order: what speaks for each candidate, and how that adds up."""

from langchain_hybrid_memory.ranking.fusion import rank
from langchain_hybrid_memory.ranking.question import in_context

__all__ = ["in_context", "rank"]
