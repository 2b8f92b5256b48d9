"""Conditions at random, over every field of executions: what a query can say, as trees."""

from __future__ import annotations

from hypothesis import strategies as st

from orchestrator.model.query import AllOf, AnyOf, Is, Like, Order
from orchestrator.model.summaries import WORKFLOW_FIELDS, Kind

TEXTS = st.text(alphabet="aB1 '\"\\*(),=\n", min_size=1, max_size=8)
FIELDS = [field for field in (*WORKFLOW_FIELDS.values(),) if field.kind is Kind.TEXT]
NUMBERS = [field for field in (*WORKFLOW_FIELDS.values(),) if field.kind in (Kind.NUMBER, Kind.TIME)]
SINGLE = st.one_of(
    st.builds(Is, st.sampled_from(FIELDS), st.lists(TEXTS, min_size=1, max_size=3).map(tuple), st.booleans()),
    st.builds(
        Like, st.sampled_from(FIELDS), st.lists(TEXTS | st.just(""), min_size=2, max_size=4).map(tuple), st.booleans()
    ),
    st.builds(Is, st.sampled_from(NUMBERS), st.lists(st.integers(-9, 9), min_size=1).map(tuple), st.booleans()),
    st.builds(Order, st.sampled_from(FIELDS), st.sampled_from(["<", "<=", ">", ">="]), TEXTS),
)
TREES = st.recursive(
    SINGLE,
    lambda inner: st.builds(
        lambda k, p: k(tuple(p)), st.sampled_from([AllOf, AnyOf]), st.lists(inner, min_size=2, max_size=3)
    ),
)
