"""`python -m langchain_hybrid_memory.cli` is `hybrid-memory`."""

from langchain_hybrid_memory.cli import main

if __name__ == "__main__":
    main()
