from pathlib import Path

import pandas as pd
import pytest

from ferlit.data.records import (
    EXPRESSIONS,
    canonical_expression,
    read_records,
    record_table,
    validate_records,
    write_records,
)
from ferlit.errors import DataError

ROW = {"image": "a.png", "expression": "fear", "identity": "S1", "sequence": "S1_1", "frame": 3}


def check(*rows: dict[str, object]) -> pd.DataFrame:
    return validate_records(record_table(rows), EXPRESSIONS, "test")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Angry", "anger"), ("HAPPY", "happiness"), (" sad ", "sadness"), ("fear", "fear")],
)
def test_the_names_of_databases_are_understood(name: str, expected: str) -> None:
    assert canonical_expression(name) == expected


def test_an_unknown_expression_is_named_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"'bored'.*neutral"):
        canonical_expression("bored")


def test_a_table_survives_the_round_trip(tmp_path: Path) -> None:
    table = check(ROW, {"image": "NA.png", "expression": "", "identity": "007"})
    write_records(table, tmp_path / "records.csv")
    pd.testing.assert_frame_equal(read_records(tmp_path / "records.csv"), table)


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text("image,expression\na.png,fear\n")
    with pytest.raises(DataError, match="lacks the columns identity"):
        read_records(tmp_path / "records.csv")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no images"),
        ([ROW | {"expression": "joy"}], r"a\.png has the expression 'joy'"),
        ([ROW | {"split": "dev"}], r"a\.png has the split 'dev'"),
        ([ROW, ROW], r"a\.png is listed 2 times"),
        ([ROW, ROW | {"image": "b.png", "identity": "S2"}], "S1_1 has several values of identity"),
        ([ROW, ROW | {"image": "b.png", "expression": "anger"}], "several values of expression"),
    ],
)
def test_a_wrong_table_is_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(*rows)
