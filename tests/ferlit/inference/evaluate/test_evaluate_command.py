import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data.records import canonical_expression
from ferlit.data.store import RECORDS, Store
from ferlit.data.store.manifest import write_manifest
from ferlit.inference.classifiers.loading import load_classifier
from tests.ferlit.inference.small import write_checkpoint, write_exported
from tests.ferlit.training.fits import ROOT, environment

# In another order than any database's, some by other names.
EIGHT = ["happy", "contempt", "surprised", "neutral", "fear", "angry", "sadness", "disgusted"]


def evaluate(model: Path, output: Path, *stores: Path, more: tuple[str, ...] = ()) -> Any:
    """What ``evaluation.json`` says of the stores."""
    options = [f"--store={store}" for store in stores]
    command = ["evaluate", f"--model={model}", *options, f"--output={output}", *more]
    assert main([*command, *(() if "--bootstrap" in str(more) else ("--bootstrap=100",))]) == 0
    return json.loads((output / "evaluation.json").read_text())["stores"]


def relabelled(store: Store, folder: Path, **changed: Any) -> Path:
    """A copy with other columns of the records."""
    shutil.copytree(store.folder, folder)
    records = pd.read_csv(folder / RECORDS, dtype=str, keep_default_na=False)
    records.assign(**changed).to_csv(folder / RECORDS, index=False)
    write_manifest(folder)
    return folder


def test_the_figures_are_those_of_ferlit_test(fer_run: Path, fer: Store, tmp_path: Path) -> None:
    (says,) = evaluate(fer_run, tmp_path / "out", fer.folder)
    tested = json.loads((fer_run / "metrics.json").read_text())
    assert says["image"] == tested["image"]
    assert says["part"] == "test"
    assert says["people"]["images"] == 0
    here = tmp_path / "out" / "stores" / "fer2013"
    assert (here / "confusion.csv").read_text() == (fer_run / "confusion.csv").read_text()
    ours, theirs = (pd.read_csv(each / "predictions.csv") for each in (here, fer_run))
    assert ours["image"].tolist() == theirs["image"].tolist()
    assert ours["predicted"].tolist() == theirs["predicted"].tolist()
    names = says["classes"]["answers"]
    np.testing.assert_allclose(ours[names], theirs[names], atol=1e-5)
    assert (here / "confusion.png").stat().st_size > 5000
    assert (here / "reliability.png").stat().st_size > 5000


def test_the_figures_by_sequence_are_those_of_ferlit_test(
    ckplus_run: Path, store: Store, tmp_path: Path
) -> None:
    more = ("--allow_seen_people=true",)
    (says,) = evaluate(ckplus_run, tmp_path / "out", store.folder, more=more)
    theirs = pd.read_csv(ckplus_run / "predictions.csv").set_index("image")
    ours = pd.read_csv(tmp_path / "out" / "stores" / "ckplus" / "predictions.csv")
    ours = ours.set_index("image").loc[theirs.index]
    assert ours["predicted"].tolist() == theirs["predicted"].tolist()
    assert (
        says["sequence"]["total"] == store.records.query("expression != ''")["sequence"].nunique()
    )
    assert says["persons"] == 8
    assert says["intervals"]["units"] == {"person": 8, "recording": 0, "image": 0}
    low, high = says["intervals"]["sequence"]["accuracy"]
    assert low <= says["sequence"]["accuracy"] <= high


def expected_by_loops(model: Path, store: Store, common: bool) -> list[tuple[str, str, float]]:
    """Actual, answered and confidence of every face that counts, one by one."""
    classifier = load_classifier(model)
    meaning = [canonical_expression(name) for name in classifier.classes]
    found = []
    for face, expression in zip(store.faces, store.records["expression"], strict=True):
        if expression not in meaning:
            continue
        (row,) = classifier(classifier.preprocessing.inputs([np.asarray(face)]))
        answers = dict(zip(meaning, row.astype(np.float64).tolist(), strict=True))
        if common:
            answers = {n: p for n, p in answers.items() if n in store.description.classes}
        best = max(answers, key=lambda name: answers[name])
        found.append((expression, best, answers[best] / sum(answers.values())))
    return found


@pytest.mark.parametrize("common", [False, True])
def test_six_classes_against_a_model_of_eight_in_another_order(
    mmi: Store, tmp_path: Path, common: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    more = ("--common",) if common else ()
    (says,) = evaluate(model, tmp_path / "out", mmi.folder, more=more)
    rows = expected_by_loops(model, mmi, common)
    assert len(mmi.description.classes) == 6
    assert says["image"]["total"] == len(rows)
    assert says["image"]["correct"] == sum(actual == best for actual, best, _ in rows)
    expected: dict[str, list[bool]] = {}
    for actual, best, _ in rows:
        expected.setdefault(actual, []).append(actual == best)
    recalls = [sum(each) / len(each) for each in expected.values()]
    assert says["image"]["class_mean"] == pytest.approx(sum(recalls) / len(recalls))
    confidences = sum(
        each["mean_confidence"] * each["answers"]
        for each in says["calibration"]["bins"]
        if each["answers"]
    )
    assert confidences == pytest.approx(sum(sure for _, _, sure in rows), rel=1e-5)
    assert says["classes"]["only_model"] == ["contempt", "neutral"]
    assert says["classes"]["answers"] == [
        name for name in EIGHT if not common or name not in ("contempt", "neutral")
    ]
    output = capsys.readouterr().out
    if common:
        assert "not possible as answers: contempt, neutral, which the store lacks" in output
    else:
        given = [sum(best == name for _, best, _ in rows) for name in ("contempt", "neutral")]
        assert f"contempt ({given[0]}), neutral ({given[1]})" in output


def test_expressions_that_the_model_does_not_know_are_left_out_and_counted(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_checkpoint(tmp_path / "two.ckpt", classes=["fearful", "angry"])
    (says,) = evaluate(model, tmp_path / "out", store.folder)
    shown = store.records["expression"].value_counts()
    assert says["image"]["total"] == shown["anger"] + shown["fear"]
    left_out = says["left_out"]["unknown"]
    assert left_out == {
        name: int(shown[name])
        for name in store.description.classes
        if name not in ("anger", "fear")
    }
    output = capsys.readouterr().out
    for name, count in left_out.items():
        assert f"left out: {count} faces of {name}, which the model does not know" in output


def test_checkpoint_onnx_and_pt2_give_the_same_table(
    fer: Store, mmi: Store, tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    tables = []
    for name in ("eight.ckpt", "eight.onnx", "eight.pt2"):
        path = tmp_path / name
        if path.suffix == ".ckpt":
            write_checkpoint(path, classes=EIGHT)
        else:
            write_exported(path, EIGHT)
        evaluate(path, tmp_path / path.suffix, fer.folder, mmi.folder)
        tables.append(pd.read_csv(tmp_path / path.suffix / "table.csv"))
    assert tables[0]["faces"].tolist() == [8, len(mmi.records)]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(tables[0], table, atol=1e-5)


def test_the_order_of_the_stores_changes_no_figure(fer: Store, mmi: Store, tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    first = evaluate(model, tmp_path / "a", fer.folder, mmi.folder)
    assert evaluate(model, tmp_path / "b", mmi.folder, fer.folder) == first[::-1]


def test_flip_averages_a_face_and_its_mirror_image(fer: Store, tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    flips = write_checkpoint(tmp_path / "flips.ckpt", classes=EIGHT, flip_average=True)
    found = [
        evaluate(path, tmp_path / str(number), fer.folder, more=more)[0]["calibration"]
        for number, (path, more) in enumerate(
            [(model, ()), (model, ("--flip",)), (flips, ()), (flips, ("--flip",))]
        )
    ]
    plain, asked, own, both = (each["expected_calibration_error"] for each in found)
    assert asked == pytest.approx(own, abs=1e-6)
    assert own == both
    assert plain != pytest.approx(own, abs=1e-6)


def test_people_of_the_training_are_refused(
    ckplus_run: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(store.folder, tmp_path / "renamed"))
    command = ["evaluate", f"--model={ckplus_run}", f"--store={copy}", "--bootstrap=0"]
    output = tmp_path / "out"
    assert main([*command, f"--output={output}"]) == 1
    errors = capsys.readouterr().err
    split = pd.read_csv(ckplus_run / "split.csv")
    seen = split[split["split"] != "test"]["identity"].nunique()
    assert f"tested images ({seen} people) were trained or validated on" in errors
    assert "it was trained in fold 0 of 4 of ckplus" in errors
    assert "--allow_seen_people true" in errors
    assert not output.exists()
    assert main([*command, f"--output={output}", "--allow_seen_people", "true"]) == 0
    printed = capsys.readouterr()
    (says,) = json.loads((output / "evaluation.json").read_text())["stores"]
    assert says["people"]["people"] == seen == 6
    assert (
        f"* renamed: {says['people']['images']} of {says['image']['total']} tested" in printed.out
    )
    assert "going on" in printed.err
    assert pd.read_csv(output / "table.csv")["seen"].tolist() == [says["people"]["images"]]


@pytest.mark.parametrize(("part", "code"), [("test", 0), ("val", 1), ("train", 1), ("all", 1)])
def test_images_of_the_training_are_refused_in_each_part(
    fer_run: Path, fer: Store, part: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fer_run / "checkpoints" / "best.ckpt"
    command = ["evaluate", f"--model={model}", f"--store={fer.folder}", f"--part={part}"]
    assert main([*command, "--bootstrap=0"]) == code
    counts = {"val": "7 of 7", "train": "28 of 28", "all": "35 of 43"}
    if code:
        errors = capsys.readouterr().err
        assert f"{counts[part]} tested images were trained or validated on" in errors


def test_an_exported_file_cannot_tell_whom_it_has_seen(
    fer: Store, mmi: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_exported(tmp_path / "eight.pt2", EIGHT, databases=("synthetic_fer2013",))
    command = ["evaluate", f"--model={model}", "--bootstrap=0"]
    assert main([*command, f"--store={fer.folder}", f"--store={mmi.folder}"]) == 0
    printed = capsys.readouterr()
    assert "does not say whom its network was trained on (it was trained on synth" in printed.err
    assert "? fer2013, mmi: whom the model was trained on is not known" in printed.out
    assert main([*command, f"--store={fer.folder}", "--part=all"]) == 1
    assert "the 43 faces of" in capsys.readouterr().err
    allowed = [f"--store={fer.folder}", "--part=all", "--allow_seen_people=true"]
    assert main([*command, *allowed]) == 0


def test_other_landmarks_than_in_training_are_told(
    fer_run: Path, mmi: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mmi.description.landmarks != "none"
    (says,) = evaluate(fer_run, tmp_path / "out", mmi.folder)
    told = f"landmarks of the store: none there, {mmi.description.landmarks} now"
    printed = capsys.readouterr()
    assert told in printed.out
    assert told in printed.err
    assert says["changed"]["landmarks of the store"]["here"] == mmi.description.landmarks


def test_one_person_has_no_interval(mmi: Store, tmp_path: Path) -> None:
    one = relabelled(mmi, tmp_path / "one", identity="S1")
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    (says,) = evaluate(model, tmp_path / "out", one)
    assert says["intervals"]["image"] is None
    assert "no intervals: they are not defined for 1 person" in says["notes"][0]
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert table.loc[0, ["accuracy_low", "accuracy_high"]].isna().all()
    assert table.loc[0, "accuracy"] == says["image"]["accuracy"]


def test_a_test_part_without_labels_gives_way_to_all(fer: Store, tmp_path: Path) -> None:
    labels = fer.records["expression"].where(fer.records["split"] != "test", "")
    other = relabelled(fer, tmp_path / "withheld", expression=labels)
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    (says,) = evaluate(model, tmp_path / "out", other)
    assert says["part"] == "all"
    assert says["part_reason"] == "the test part of its official split has no labels"
    assert (says["faces"], says["left_out"]["unlabelled"]) == (35, 8)
    command = ["evaluate", f"--model={model}", f"--store={other}", "--part=test"]
    assert main(command) == 1


def test_the_same_evaluation_is_written_again_and_no_other_over_it(
    fer: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT), tmp_path / "out"
    first = evaluate(model, output, fer.folder)
    (output / "table.csv").unlink()  # as a killed command would leave it
    assert evaluate(model, output, fer.folder) == first
    assert (output / "table.csv").is_file()
    before = (output / "evaluation.json").read_bytes()
    command = ["evaluate", f"--model={model}", f"--store={fer.folder}", f"--output={output}"]
    assert main([*command, "--bootstrap=200", "--part=val"]) == 2
    errors = capsys.readouterr().err
    assert "it holds another evaluation" in errors
    assert "settings.bootstrap: 100 there, 200 now" in errors
    assert (output / "evaluation.json").read_bytes() == before
    (output / "evaluation.json").write_text("{")
    assert main(command) == 1
    assert "cannot be read" in capsys.readouterr().err
    (output / "evaluation.json").unlink()
    assert main(command) == 2
    assert "it is not empty, and holds no evaluation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--bootstrap=99"], 2, "--bootstrap 99: from 100 to 100,000 draws, or 0"),
        (["--bootstrap=-1"], 2, "--bootstrap -1"),
        (["--bootstrap=100001"], 2, "--bootstrap 100001"),
        (["--bootstrap=many"], 2, "invalid int value: 'many'"),
        (["--seed=-1"], 2, "--seed -1: from 0"),
        (["--part=tests"], 2, "invalid choice: 'tests'"),
        (["--allow_seen_people=perhaps"], 2, "invalid choice: 'perhaps'"),
        (["--device=abacus"], 2, "the device 'abacus' cannot be used"),
        (["--store={same}"], 2, "the same store twice"),
        (["--store={copy}"], 2, "a copy of"),
        (["--store={mmi}", "--part=test"], 2, "it has no official split; give --part all"),
        (["--store=no_such"], 1, "no_such: no prepared store"),
        (["--store={damaged}"], 1, "faces.npy: damaged"),
        (["--store={withheld}"], 1, "no labelled faces in the part all (of 43)"),
        (["--model=no_such.onnx"], 1, "no_such.onnx: there is no such model"),
        (["--model={empty}"], 1, "not the folder of a run"),
        (["--model={foreign}"], 1, "no class in common"),
        (["--output={copy}"], 2, "it is not empty, and holds no evaluation"),
        (["--output={copy}/store.json"], 2, "a file of that name is in the way"),
    ],
)
def test_mistakes_are_told_before_anything_is_computed(
    fer: Store,
    mmi: Store,
    tmp_path: Path,
    more: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    damaged = Path(shutil.copytree(fer.folder, tmp_path / "damaged"))
    faces = bytearray((damaged / "faces.npy").read_bytes())
    faces[-1] ^= 1
    (damaged / "faces.npy").write_bytes(faces)
    (tmp_path / "empty").mkdir()
    places = {
        "same": f"{fer.folder}/../{fer.folder.name}",
        "copy": shutil.copytree(fer.folder, tmp_path / "copy"),
        "mmi": mmi.folder,
        "damaged": damaged,
        "withheld": relabelled(fer, tmp_path / "withheld", expression="", split=""),
        "empty": tmp_path / "empty",
        "foreign": write_checkpoint(tmp_path / "foreign.ckpt", classes=["pain", "boredom"]),
    }
    output = tmp_path / "out"
    before = sorted(tmp_path.iterdir())
    command = ["evaluate", f"--model={model}", f"--store={fer.folder}", f"--output={output}"]
    try:
        found = main([*command, *(option.format(**places) for option in more)])
    except SystemExit as stop:
        found = int(stop.code or 0)
    printed = capsys.readouterr()
    assert message in printed.err
    assert found == code
    assert printed.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_face_the_model_has_no_class_for_leaves_nothing(
    fer: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    only = fer.records["expression"].where(fer.records["expression"] == "fear", "")
    other = relabelled(fer, tmp_path / "other", expression=only)
    model = write_checkpoint(tmp_path / "two.ckpt", classes=["anger", "sadness"])
    assert main(["evaluate", f"--model={model}", f"--store={other}"]) == 1
    assert "none of the faces in the part test shows an expression" in capsys.readouterr().err


def test_the_command_as_a_user_types_it(fer: Store, mmi: Store, tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "eight.ckpt", classes=EIGHT)
    stores = ["--store", str(fer.folder), "--store", str(mmi.folder)]
    done = subprocess.run(
        [sys.executable, "-m", "ferlit", "evaluate", "--model", str(model), *stores],
        cwd=ROOT,
        env=environment() | {"FERLIT_TRUST": "tests"},
        check=False,
        timeout=180,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "image accuracy" in done.stdout
    assert "95% intervals: 1000 bootstrap draws of 8 images (no person has a name)" in done.stdout
    last = done.stdout[done.stdout.index("all stores") :]
    rows = [row for row in last.splitlines() if row.startswith(("│ fer2013", "│ mmi"))]
    assert [row.split()[3] for row in rows] == ["8?", f"{len(mmi.records)}?"]
    assert "of 8)" in last
    assert not list(tmp_path.glob("*.json"))
