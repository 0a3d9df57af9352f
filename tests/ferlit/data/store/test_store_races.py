"""Several real processes at one store: preparing, renewing, reading, dying."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.preparation import prepare_store
from ferlit.data.store import Store
from ferlit.data.store.replacing import put_in_place, read_steadily, restore
from ferlit.errors import DataError

CKPLUS = DATABASES["ckplus"]
# The workers import it too, and read as slowly: the others must have time to come.
SCRIPT = """
import os, sys, time
from ferlit.cli import main
from ferlit.data.faces import maker
from ferlit.data.preparation import parts, workers

read_image = maker.read_image

def read_slowly(*arguments):
    time.sleep(float(os.environ["SECONDS_AN_IMAGE"]))
    return read_image(*arguments)

maker.read_image = read_slowly

if __name__ == "__main__":
    parts._PART, parts._CHUNK, workers._LEAST_SHARE = 16, 4, 16
    sys.exit(main(sys.argv[1:]))
"""
# One epoch's data of an array of folds, made out of the database's folder.
FOLD = """
import sys
from pathlib import Path
from ferlit.data import ExpressionDataModule
from ferlit.data.faces import maker
from ferlit.data.preparation import parts
import time

read_image = maker.read_image
maker.read_image = lambda *arguments: (time.sleep(0.07), read_image(*arguments))[1]
parts._PART = 16
data = ExpressionDataModule("ckplus", Path(sys.argv[1]), fold=int(sys.argv[2]), folds=5)
data.prepare_data()
data.setup("fit")
print(data.store.content)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def start(*command: object, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def prepare(
    script: Path, tree: Path, output: Path, workers: int, seconds: float = 0.1
) -> "subprocess.Popen[str]":
    options = ["prepare", "--database", "ckplus", "--root", tree, "--output", output]
    return start(script, *options, "--workers", workers, SECONDS_AN_IMAGE=str(seconds))


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, errors = process.communicate(timeout=300)
    assert "Traceback" not in errors
    return process.returncode, output + errors


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.002)
    assert path.exists()


def test_of_five_that_prepare_at_once_one_works_and_the_others_wait_for_it(
    script: Path, tree: Path, store: Store, tmp_path: Path
) -> None:
    output = tmp_path / "stores" / "ckplus"
    processes = [prepare(script, tree, output, 2) for _ in range(5)]
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [0] * 5
    waited = [text for _, text in results if f"{output}: waiting for" in text]
    assert len(waited) == 4
    assert all(re.search(r"process \d+ on .*\(.* prepare\), preparing it", t) for t in waited)
    assert Store.open(output).content == store.content
    assert [path.name for path in output.parent.iterdir()] == ["ckplus"]


def test_folds_that_start_together_share_one_preparation(
    tree: Path, store: Store, tmp_path: Path
) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    processes = [start("-c", FOLD, tree, fold, **cache) for fold in range(3)]
    results = [finish(process) for process in processes]
    assert [code for code, _ in results] == [0] * 3
    assert all(store.content in text for _, text in results)
    assert sum("waiting for process" in text for _, text in results) == 2


def test_other_settings_wait_and_are_then_refused(
    script: Path, tree: Path, store: Store, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tree, tmp_path / "other"))
    next(other.glob("cohn-kanade-images/S010/*/*4.png")).unlink()
    output = tmp_path / "store"
    first = prepare(script, tree, output, 1)
    wait_for(output.with_name("store.partial"), first)
    second = prepare(script, other, output, 1)
    assert finish(first)[0] == 0
    code, text = finish(second)
    assert code == 1
    assert "waiting for process" in text
    assert "made from other files or settings" in text
    assert Store.open(output).content == store.content


def test_a_killed_owners_parts_serve_the_one_who_waits(
    script: Path, tree: Path, store: Store, tmp_path: Path
) -> None:
    output = tmp_path / "store"
    first = prepare(script, tree, output, 2, seconds=0.5)
    part = output.with_name("store.partial") / "part-000000.npz"
    wait_for(part, first)
    second = prepare(script, tree, output, 2, seconds=0)
    assert second.stderr is not None
    while "waiting for" not in (line := second.stderr.readline()):
        assert line
    with np.load(part) as content:
        turned = dict(content) | {"faces": 255 - content["faces"]}
    np.savez(part, **turned)  # to be known again
    first.send_signal(signal.SIGKILL)
    first.communicate()
    code, text = finish(second)
    assert code == 0, text
    assert f"process {first.pid}" in line
    faces, count = Store.open(output).faces, len(turned["faces"])
    np.testing.assert_array_equal(faces[:count], 255 - store.faces[:count])
    np.testing.assert_array_equal(faces[count:], store.faces[count:])


def test_a_reader_never_finds_a_moment_without_a_store(store: Store, tmp_path: Path) -> None:
    output = Path(shutil.copytree(store.folder, tmp_path / "store"))
    (output / "identities.csv").write_text("image,identity\n")
    code = (
        "import sys, time; from pathlib import Path; from ferlit.data.store import Store\n"
        "print('ready', flush=True); end = time.monotonic() + 6; n = 0\n"
        "while time.monotonic() < end:\n"
        "    store = Store.open(Path(sys.argv[1])); n += 1\n"
        "    assert store.faces[-1].any()\n"
        "print(n)"
    )
    readers = [start("-c", code, output) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
    opened, renewed = Store.open(output), 0
    while any(reader.poll() is None for reader in readers):
        new = Path(shutil.copytree(store.folder, tmp_path / "new"))
        put_in_place(new, output)
        renewed += 1
    assert renewed > 1
    for reader in readers:
        status, text = finish(reader)
        assert status == 0, text
        assert int(text.split()[0]) > 0
    np.testing.assert_array_equal(opened.faces, store.faces)  # open while it was renewed
    assert (output / "identities.csv").read_text() == "image,identity\n"


def renew(old: Path, new: Path, step: int) -> None:
    """`put_in_place` in a process that dies before its step-th renaming or removal of a folder."""
    code = (
        "import os, shutil, sys\n"
        "from pathlib import Path\n"
        "from ferlit.data.store.replacing import put_in_place\n"
        "left = int(sys.argv[3])\n"
        "def dying(do):\n"
        "    def step(*arguments, **options):\n"
        "        global left\n"
        "        if left == 0: os._exit(9)\n"
        "        left -= 1\n"
        "        return do(*arguments, **options)\n"
        "    return step\n"
        "os.rename, os.replace = dying(os.rename), dying(os.replace)\n"
        "shutil.rmtree = dying(shutil.rmtree)\n"
        "put_in_place(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, new, old, str(step)], check=False)
    assert done.returncode in (0, 9)


@pytest.mark.parametrize("then", ["read", "prepare", "renew"])
@pytest.mark.parametrize("step", range(6))
def test_corrections_survive_a_renewal_that_is_killed_at_any_step(
    step: int, then: str, tree: Path, store: Store, tmp_path: Path
) -> None:
    output = Path(shutil.copytree(store.folder, tmp_path / "store"))
    images = [name for name in store.records["image"] if "/S010/" not in name]
    names = "image,identity\n" + "".join(f"{name},by hand\n" for name in images)
    (output / "identities.csv").write_text(names)
    new = Path(shutil.copytree(store.folder, tmp_path / "store.partial"))
    renew(output, new, step)
    if then == "read":
        assert Store.open(output).content
    elif then == "prepare":
        prepare_store(CKPLUS, tree, output, progress=False)
    else:
        copy = Path(shutil.copytree(tree, tmp_path / "tree"))
        next(copy.glob("Landmarks/S010/*/*4_landmarks.txt")).unlink()
        prepare_store(CKPLUS, copy, output, replace=True, progress=False)
        assert not output.with_name(".store.replaced").exists()
    assert (output / "identities.csv").read_text() == names


def test_the_state_that_an_earlier_version_left_is_undone_as_well(
    tree: Path, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Path(shutil.copytree(store.folder, tmp_path / "store.old"))
    (old / "identities.csv").write_text("image,identity\n")
    prepare_store(CKPLUS, tree, tmp_path / "store", replace=True, progress=False)
    assert "put back" in caplog.text
    assert (tmp_path / "store" / "identities.csv").read_text() == "image,identity\n"
    assert not old.exists()


def test_a_correction_in_the_last_moment_is_kept(store: Store, tmp_path: Path) -> None:
    """Saved into the old folder after its table was copied into the new one."""
    output = Path(shutil.copytree(store.folder, tmp_path / "store"))
    aside = Path(shutil.copytree(store.folder, tmp_path / ".store.replaced"))
    (output / "identities.csv").write_text("image,identity\n")
    os.utime(output / "identities.csv", (1, 1))
    (aside / "identities.csv").write_text("image,identity\na,b\n")
    restore(output)
    assert (output / "identities.csv").read_text().endswith("a,b\n")
    assert not aside.exists()


def test_a_finished_store_that_lacks_only_its_name_is_not_made_again(
    tree: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = Path(shutil.copytree(store.folder, tmp_path / "store.partial"))
    with monkeypatch.context() as patch:
        patch.setattr("ferlit.data.preparation.prepare.make_parts", None)
        again = prepare_store(CKPLUS, tree, tmp_path / "store", resume=True, progress=False)
    assert again.content == store.content
    shutil.copytree(store.folder, partial)
    shutil.rmtree(tmp_path / "store")
    content = bytearray((partial / "faces.npy").read_bytes())
    content[5000] ^= 4
    (partial / "faces.npy").write_bytes(content)
    again = prepare_store(CKPLUS, tree, tmp_path / "store", resume=True, progress=False)
    assert again.content == store.content


def test_a_damaged_part_is_made_again_with_a_word(
    tree: Path,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from ferlit.data.faces import maker
    from ferlit.data.preparation import parts

    monkeypatch.setattr(parts, "_PART", 10)
    read_image, made = maker.read_image, []

    def interrupt(root: Path, name: str) -> object:
        made.append(name)
        if len(made) == 75:
            raise KeyboardInterrupt
        return read_image(root, name)

    monkeypatch.setattr(maker, "read_image", interrupt)
    output = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        prepare_store(CKPLUS, tree, output, workers=1, progress=False)
    folder = tmp_path / "store.partial"
    names = sorted(path.name for path in folder.glob("part-*.npz"))
    assert len(names) == 7
    for number, name in enumerate(names[:5]):
        content = bytearray((folder / name).read_bytes())
        if number == 0:
            content[len(content) // 2] ^= 1
        elif number == 1:
            del content[-100:]
        elif number == 2:
            content[:] = bytes(len(content))
        elif number == 3:
            content.clear()
        else:
            content[:] = (folder / names[6]).read_bytes()[:50]
        (folder / name).write_bytes(content)
    before = len(made)
    again = prepare_store(CKPLUS, tree, output, workers=1, resume=True, progress=False)
    assert len(made) - before == len(store.records) - 20
    assert caplog.text.count("damaged (") == 5
    assert again.content == store.content


def test_a_folder_of_somebodys_own_is_not_removed(tree: Path, tmp_path: Path) -> None:
    for name in ("store.partial", "store.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("precious")
    output = tmp_path / "store"
    with pytest.raises(DataError, match=r"store\.partial is in the way: it holds thesis\.txt"):
        prepare_store(CKPLUS, tree, output, progress=False)
    assert (tmp_path / "store.partial" / "thesis.txt").exists()


LIMITED = """
import resource, sys
from ferlit.cli import main
from ferlit.data.preparation import parts
parts._PART = 50
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of a file's size")
@pytest.mark.parametrize("room", [2_000, 300_000])
def test_a_disk_that_is_full_loses_nothing(
    room: int, tree: Path, store: Store, tmp_path: Path
) -> None:
    """No part has room; or the parts have, and the file of all faces has not."""
    output = tmp_path / "store"
    script = tmp_path / "limited.py"
    script.write_text(LIMITED)
    options = ["prepare", "--database", "ckplus", "--root", tree, "--output", output]
    code, text = finish(start(script, room, *options))
    assert code == 1
    assert f"{output}: cannot be made" in text
    assert "--resume" in text
    assert not output.exists()
    kept = len(list((tmp_path / "store.partial").glob("part-*.npz")))
    assert kept == (0 if room == 2_000 else -(-len(store.records) // 50))
    assert finish(start(script, 10**9, *options, "--resume"))[0] == 0
    assert Store.open(output).content == store.content
    assert {path.name for path in tmp_path.iterdir()} == {"store", "limited.py"}


@pytest.mark.skipif(os.name == "nt", reason="needs another user")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="becomes another user: root")
def test_a_store_that_may_only_be_read_opens_and_is_found_made(
    tree: Path, store: Store, tmp_path: Path
) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from ferlit.cli import main\n"
        "import pandas, ferlit.data.preparation.command, ferlit.data.store\n"
        "import encodings.utf_8_sig\n"  # the other user may not read Python's own folder
        "os.setgid(65534); os.setuid(65534)\n"
        "print(ferlit.data.store.Store.open(Path(sys.argv[1])).content)\n"
        "sys.exit(main(['prepare', '--database', 'ckplus', '--root', sys.argv[2], '--output', "
        "sys.argv[3]]))"
    )
    with TemporaryDirectory() as name:  # pytest's own folders are of one user
        place = Path(name)
        place.chmod(0o755)
        shutil.copytree(tree, place / "tree", copy_function=shutil.copy2)
        output = Path(shutil.copytree(store.folder, place / "store"))
        status, text = finish(start("-c", code, output, place / "tree", output))
        assert status == 0, text
        assert store.content in text
        status, text = finish(start("-c", code, output, place / "tree", place / "new"))
        assert status == 1
        assert f"{place / 'new'}: cannot be made" in text
        (place / "closed").mkdir(mode=0o700)
        status, text = run_as_nobody(place / "closed" / "store")
        assert status == 1
        assert f"{place}/closed/store: cannot be read (Permission denied)" in text


def run_as_nobody(folder: Path) -> tuple[int, str]:
    code = (
        "import os, sys\n"
        "from ferlit.cli import main\n"
        "import ferlit.data.identities.command\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(['identities', '--store', sys.argv[1], '--output', '/tmp/never.csv']))"
    )
    return finish(start("-c", code, folder))


def test_a_reader_waits_only_where_a_store_is_being_replaced(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(DataError, match="no prepared store"):
        Store.open(tmp_path / "store")
    assert time.monotonic() - began < 1
    assert read_steadily(tmp_path, lambda folder: folder.name) == tmp_path.name
