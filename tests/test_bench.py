import importlib

import pytest

from bench.common import as_typed, exponent, percentile, table


@pytest.mark.parametrize("name", ["common", "growth", "limit", "peers", "plain", "quality", "services", "soak"])
def test_every_measurement_imports(name):
    assert importlib.import_module(f"bench.{name}").__doc__


@pytest.mark.parametrize(
    "values, q, expected",
    [
        pytest.param([3, 1, 2, 4], 50, 2, id="half of four values do not exceed the second"),
        pytest.param(range(1, 101), 99, 99, id="the 99th of a hundred"),
        pytest.param([7], 95, 7, id="one value is every percentile"),
    ],
)
def test_percentile_is_one_of_the_values(values, q, expected):
    assert percentile(list(values), q) == expected


def test_no_values_have_no_percentile():
    assert str(percentile([], 50)) == "nan"


@pytest.mark.parametrize(
    "cost, expected",
    [
        pytest.param(lambda n: 3 * n, 1.0, id="linear"),
        pytest.param(lambda n: n**2 / 5, 2.0, id="quadratic"),
        pytest.param(lambda n: 8.0, 0.0, id="constant"),
        pytest.param(lambda n: 9.0 if n < 8 else n, 1.0, id="the lower half does not count"),
    ],
)
def test_exponent_of_the_upper_half(cost, expected):
    sizes = [1, 2, 4, 8, 16, 32]
    assert exponent(sizes, [cost(n) for n in sizes]) == pytest.approx(expected, abs=1e-9)


def test_a_size_of_zero_is_allowed_in_the_lower_half():
    assert exponent([0, 5, 10, 20], [1, 2, 10, 20]) == pytest.approx(1.0)


def test_a_table_is_markdown():
    assert table(["what", "value"], [["speed", 0.71234], ["none", float("nan")]]).splitlines() == [
        "| what | value |",
        "| --- | --- |",
        "| speed | 0.712 |",
        "| none | – |",
    ]


def test_no_state_of_a_draft_is_sent_twice():
    rows = [{"id": "a", "text": "one two three four five"}, {"id": "b", "text": "six seven eight nine ten"}]
    states = as_typed(rows, 20)
    assert len({row["text"] for row in states}) == 20
    assert [row["id"] for row in states[:4]] == ["a", "b", "a", "b"]
    assert all(2 <= len(row["text"].split()) <= 4 for row in states)
    assert len(as_typed(rows, 1000)) == 2 * (5 + 10 + 10)
