import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ferlit.evaluation.pooling import PooledResults, SeedResults, SystemResults
from ferlit.evaluation.results import Evaluation
from ferlit.training.crossval.display import Display, print_results
from ferlit.training.crossval.grid import CrossvalRun, plan_runs
from ferlit.training.crossval.rounds import Round, Rounds


@pytest.fixture
def runs(tmp_path: Path) -> list[CrossvalRun]:
    """Two systems x two seeds x two folds, none of them done."""
    folds = tuple(Round(fold, {}, frozenset({"a.png"})) for fold in range(2))
    rounds = Rounds("ckplus", ("anger", "fear"), "max", "test", folds, "", "identity")
    return plan_runs(tmp_path, {"softmax": [], "2b_nm": []}, [0, 1], rounds)


def test_the_table_shows_what_is_running_and_what_has_failed(runs: list[CrossvalRun]) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, no_color=True)
    display = Display(runs, console)
    first, second, *_, last = runs
    first.fit.run.path.mkdir(parents=True)
    rows = "epoch,train/loss,val/accuracy\n2,,0.8519\n3,0.4,\n"
    (first.fit.run.path / "metrics.csv").write_text(rows)
    display.failed(last)
    console.print(display.table([first, second]))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fold 0: epoch 3, val 85.2%" in shown
    assert "fold 1: starting" in shown
    assert "1 failed" in shown
    assert shown.count("0/2") == 4


def test_where_there_is_no_terminal_a_failure_is_one_line(runs: list[CrossvalRun]) -> None:
    console = Console(file=io.StringIO(), width=40)
    with Display(runs, console) as display:
        display.update(runs[:1])
        display.failed(runs[0])
    expected = f"softmax seed 0 fold 0: failed, see {runs[0].fit.run.log}\n"
    assert console.file.getvalue() == expected  # type: ignore[attr-defined]


def test_the_results_of_whole_databases_fit_80_columns() -> None:
    def levels(correct: int, wrong: int) -> dict[str, Evaluation]:
        found = Evaluation(("anger", "fear"), np.array([[correct, wrong], [0, 0]]))
        return {"image": found, "sequence": found}

    hits = (9587, 9710, 9833)
    seeds = (SeedResults(s, 8, True, levels(hit, 10000 - hit)) for s, hit in enumerate(hits))
    softmax = SystemResults(24, levels(2857, 86), tuple(seeds))
    results = PooledResults((), {"softmax": softmax}, "sequence", ())
    folds = tuple(Round(fold, {}, frozenset()) for fold in range(8))
    rounds = Rounds("ckplus", ("anger", "fear"), "max", "test", folds, "", "identity")
    console = Console(file=io.StringIO(), width=80)
    print_results(rounds, results, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.count("97.1 2857/2943") == 2
    assert shown.count("97.1 ± 1.2 (3)") == 2
