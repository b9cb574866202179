"""The smallest model there is: eight words of four dimensions, as an ONNX file with its tokenizer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from langchain_hybrid_memory.downloads import Artifact
from langchain_hybrid_memory.embedding import OnnxEmbedding
from langchain_hybrid_memory.embedding._models import OnnxModel

if TYPE_CHECKING:
    from langchain_hybrid_memory.downloads import Source

# the first four are the axes, the others lie between two of them; every other word counts as the fourth
WORDS = ("lisbon", "porto", "google", "japan", "lisbon-porto", "porto-google", "google-japan", "lisbon-japan")
WEIGHTS = Path(__file__).parents[1] / "unit_tests" / "fixtures" / "eight_words.onnx"


def tokenizer() -> bytes:
    """What splits a text into those words."""
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, WORDS[3]))
    words.pre_tokenizer = WhitespaceSplit()
    return words.to_str().encode()


def file_of(name: str, content: bytes, *sources: Source) -> Artifact:
    """A file of such a content."""
    return Artifact(name, hashlib.sha256(content).hexdigest(), len(content), sources)


def embedding_in(folder: Path) -> OnnxEmbedding:
    """The model as an embedding, whose files lie in a folder."""
    folder.mkdir()
    contents = {"model.onnx": WEIGHTS.read_bytes(), "tokenizer.json": tokenizer()}
    files = {name: file_of(name, content) for name, content in contents.items()}
    for name, file in files.items():
        file.path(folder).write_bytes(contents[name])
    weights, words = ((file,) for file in files.values())
    return OnnxEmbedding(OnnxModel(name="eight-words", weights=weights, tokenizer=words, token_limit=4), folder=folder)
