import json
from typing import Any

import pytest

from ferlit.runs.settings import changes


def callback(**settings: Any) -> dict[str, Any]:
    return {"trainer": {"callbacks": [{"class_path": "Callback", **settings}]}}


def data(reader: Any, **more: Any) -> dict[str, Any]:
    return {"data": {"class_path": "Data", "init_args": {"reader": reader, **more}}}


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        (data({"cameras": 1}), data({"cameras": 1, "sessions": 2}), "data.reader.sessions"),
        (data({"cameras": 1}), data({}), "data.reader.cameras"),
        (data({}), data({"votes": "all"}), "data.reader.votes"),
        (data({"deep": {"a": 1}}), data({"deep": {"b": 1}}), "data.reader.deep.a"),
        (
            callback(init_args={"scheduling": {0: 1}}),
            callback(init_args={"scheduling": {0: 1, 4: 2}}),
            "trainer.callbacks",
        ),
        (callback(), callback(dict_kwargs={"decay": 0.9}), "trainer.callbacks"),
        (callback(dict_kwargs={"a": 1}), callback(dict_kwargs={"a": 2}), "trainer.callbacks"),
    ],
)
def test_what_a_user_adds_or_takes_away_counts(
    old: dict[str, Any], new: dict[str, Any], name: str
) -> None:
    assert changes(old, new)[0].name == name
    assert changes(new, old)[0].name == name
    assert changes(old, old) == changes(new, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (data({}), data({}, later=True)),
        (data({}, augment={"flip": 0.5}), data({}, augment={"flip": 0.5, "later": 0})),
        (callback(init_args={"a": 1}), callback(init_args={"a": 1, "later": 2})),
        ({"trainer": {"a": 1}}, {"trainer": {"a": 1, "later": 2}, "later": 3}),
    ],
)
def test_what_another_version_knows_does_not(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert changes(old, new) == changes(new, old) == []


@pytest.mark.parametrize(
    "settings", [callback(init_args={"scheduling": {0: 1, 4: 2}}), data({1: 2, "deep": {3: 4}})]
)
def test_a_memory_in_json_is_the_same(settings: dict[str, Any]) -> None:
    assert changes(json.loads(json.dumps(settings)), settings) == []
