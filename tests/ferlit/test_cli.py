import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ferlit.cli import COMMANDS, main
from ferlit.data.store import Store

ROOT = Path(__file__).parents[2]


def test_help_answers_within_a_second_and_names_every_command() -> None:
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "ferlit", "--help"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.monotonic() - start)
    assert min(seconds) < 1
    assert all(re.search(rf"^  {name}  ", done.stdout, re.MULTILINE) for name in COMMANDS)


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys; from ferlit.cli import main; main(['--help']); "
        "print([name for name in ('torch', 'lightning', 'wandb', 'pandas', 'cv2') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize("arguments", [[], ["fitt"], ["prepare"], ["fit", "--no-such-option"]])
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2


def test_prepare_prints_what_it_made(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--database", "ckplus", "--root", str(tree), "--output", str(tmp_path / "store")]
    assert main(["prepare", *options]) == 0
    store = Store.open(tmp_path / "store")
    output = capsys.readouterr().out
    assert f"{len(store.records)} images found, {len(store.records)} prepared, 0 dropped" in output
    surprised = store.records[store.records["expression"] == "surprise"]
    pattern = rf"surprise\W+{len(surprised)}\W+{surprised['sequence'].nunique()}\W"
    assert re.search(pattern, output)


def test_prepare_verifies_a_store(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(store.folder, copy)
    assert main(["prepare", "--verify", str(copy)]) == 0
    assert f"{len(store.records)} faces of ckplus, all as written" in capsys.readouterr().out
    faces = bytearray((copy / "faces.npy").read_bytes())
    faces[-1] ^= 1
    (copy / "faces.npy").write_bytes(faces)
    (copy / "contact_sheet.png").unlink()
    assert main(["prepare", "--verify", str(copy)]) == 1
    message = capsys.readouterr().err
    assert "faces.npy: changed since it was written" in message
    assert "contact_sheet.png: missing" in message


def ckplus_fit(root: Path, runs: Path) -> list[str]:
    return [
        "fit",
        "--config=ckplus.yaml",
        f"--data.root={root}",
        f"--data.store={runs.parent / 'store'}",
        f"--trainer.logger.save_dir={runs}",
        "--trainer.accelerator=cpu",
    ]


def only_one_subject(root: Path) -> None:
    for part in ("cohn-kanade-images", "Emotion"):
        for folder in sorted((root / part).glob("S*"))[1:]:
            shutil.rmtree(folder)


def truncate_every_image(root: Path) -> None:
    for path in root.glob("cohn-kanade-images/*/*/*.png"):
        path.write_bytes(path.read_bytes()[:100])


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "does not exist"),
        (empty, "is empty"),
        (lambda root: shutil.rmtree(root / "Emotion"), "Emotion"),
        (lambda root: shutil.rmtree(root / "cohn-kanade-images"), "cohn-kanade-images"),
        (only_one_subject, "1 subject .* cannot be split into 8"),
        (truncate_every_image, "none of the .* images could be prepared"),
    ],
)
def test_a_bad_root_is_explained_and_leaves_nothing(
    tree: Path, tmp_path: Path, damage: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(tree, tmp_path / "tree"))
    damage(root)  # type: ignore[operator]
    assert main(ckplus_fit(root, tmp_path / "runs")) == 1
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert "Traceback" not in error
    assert not (tmp_path / "runs").exists()


def test_an_unknown_configuration_lists_the_shipped_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["fit", "--config", "ck.yaml"]) == 2
    error = capsys.readouterr().err
    assert "ckplus.yaml" in error
    assert "systems/softmax.yaml" in error
