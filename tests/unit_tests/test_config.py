"""A setting that cannot work is refused when it is made."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from langchain_hybrid_memory.config import BufferConfig, ExtractConfig, RankingWeights, RecallConfig, SummaryConfig
from langchain_hybrid_memory.errors import ConfigurationError

CONFIGS = [BufferConfig, ExtractConfig, RecallConfig, SummaryConfig]
NUMBERS = [
    (config, item.name)
    for config in CONFIGS
    for item in fields(config)
    if isinstance(item.default, int | float) and not isinstance(item.default, bool)
]


@pytest.mark.parametrize(("config", "name"), NUMBERS)
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_number_that_is_not_positive_is_refused(config: Any, name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        config(**{name: value})


@pytest.mark.parametrize("config", CONFIGS)
def test_defaults_work_and_cannot_be_changed(config: Any) -> None:
    made = config()
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, 1)


@pytest.mark.parametrize("keep", [20, 21])
def test_keeping_all_that_would_trigger_a_summary_is_refused(keep: int) -> None:
    assert SummaryConfig(after_messages=20, keep_messages=19)
    with pytest.raises(ConfigurationError, match="keep_messages"):
        SummaryConfig(after_messages=20, keep_messages=keep)


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weight_below_zero_or_without_bound_is_refused(weight: float) -> None:
    assert RankingWeights(speaker=0).speaker == 0
    with pytest.raises(ConfigurationError, match="speaker"):
        RankingWeights(speaker=weight)


def test_unknown_placement_is_refused() -> None:
    placement: Any = "middle"
    with pytest.raises(ConfigurationError, match="tail, system"):
        RecallConfig(placement=placement)


def test_unknown_method_of_structured_output_is_refused() -> None:
    method: Any = "xml"
    with pytest.raises(ConfigurationError, match="function_calling, json_mode, json_schema"):
        ExtractConfig(method=method)


def test_configuration_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="max_tokens"):
        BufferConfig(max_tokens=0)


@pytest.mark.parametrize("roles", [(), ("system",), ("user", "robot")])
def test_roles_that_nobody_has_are_refused(roles: Any) -> None:
    with pytest.raises(ConfigurationError, match="roles"):
        ExtractConfig(roles=roles)
