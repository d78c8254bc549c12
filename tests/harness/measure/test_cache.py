"""What another run has computed is not computed again, and nothing else is taken for it."""

import shutil

import pytest
from toys import SmallNet, labeled, loaded

from harness.base.threat import parse_grid
from harness.evidence.store import RunStore
from harness.inputs.suite import Suite
from harness.run.job import Options, evaluate
from harness.types import AttackSpec

PGD = AttackSpec("pgd", "torchattacks", "pgd", {"steps": 5, "step_size": "epsilon/4", "random_start": True})
FGSM = AttackSpec("fgsm", "torchattacks", "fgsm", {})
CW = AttackSpec("cw", "torchattacks", "cw", {"c": 5.0, "confidence": 0.0, "steps": 5, "learning_rate": 0.02})
GRID = ("4/255", "8/255")
MODEL = SmallNet()
DATA = labeled(MODEL, 48, wrong=3)


def suite(*attacks, grid=GRID, mode="observed", chunk=16, norm="linf"):
    return Suite(
        name="toy", version=1, norm=norm, grid=parse_grid(grid, norm), mode=mode, chunk=chunk, attacks=attacks or (PGD,)
    )


def measure(folder, chosen=None, n=32, model=MODEL, data=DATA, **options):
    run = evaluate(loaded(model, 5), chosen or suite(), data, Options(folder, n=n, batch_size=16, **options))
    assert run.complete
    return run


def same(run, folder, *arguments, **options):
    """Whether a run's facts and witnesses are those of one that could not look anything up."""
    alone = measure(folder, *arguments, **options)
    assert alone.info.reused == 0
    keys = [("attack", "ascending"), ("component", "ascending"), ("epsilon", "ascending"), ("sample_id", "ascending")]
    facts = run.facts.sort_by(keys).equals(alone.facts.sort_by(keys))
    ours, theirs = (list(RunStore(r.folder).all_witnesses()) for r in (run, alone))
    return facts and len(ours) == len(theirs) and all(a.equals(b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("chosen", "n", "reused", "units"),
    [
        (suite(PGD, FGSM), 32, 4, 8),  # another attack
        (suite(grid=("4/255", "8/255", "16/255")), 32, 4, 6),  # a larger epsilon
        (suite(), 48, 4, 6),  # more samples
        (suite(grid=("4/255",)), 32, 2, 2),  # less of it
        (suite(mode="faithful"), 32, 0, 4),
        (suite(chunk=32), 32, 0, 2),
        (suite(AttackSpec("pgd", "torchattacks", "pgd", {**PGD.params, "steps": 6})), 32, 0, 4),
        (suite(AttackSpec("other", "torchattacks", "pgd", PGD.params)), 32, 0, 4),
    ],
)
def test_what_is_shared_is_not_computed_again(tmp_path, chosen, n, reused, units):
    first = measure(tmp_path / "results")
    assert first.info.reused == 0
    run = measure(tmp_path / "results", chosen, n)
    attacks = [path for path in (run.folder / "facts").glob("*.parquet") if not path.name.startswith("clean")]
    assert len(attacks) == units
    assert run.info.reused == reused
    assert same(run, tmp_path / "alone", chosen, n)
    assert all(cell["seconds"] is not None for cell in run.summary["cells"])


def test_a_smaller_epsilon_computes_again_what_depends_on_it(tmp_path):
    measure(tmp_path / "results", suite(grid=("16/255", "32/255")))
    chosen = suite(grid=("8/255", "16/255", "32/255"))
    run = measure(tmp_path / "results", chosen)
    assert run.info.reused == 0
    assert same(run, tmp_path / "alone", chosen)
    single = suite(FGSM, grid=("4/255",))
    measure(tmp_path / "results", single)
    more = suite(FGSM, grid=("1/255", "4/255"))
    assert same(measure(tmp_path / "results", more), tmp_path / "alone", more)


def test_attacks_that_run_once_and_the_worst_case_are_remembered_too(tmp_path):
    l2 = AttackSpec("pgdl2", "torchattacks", "pgdl2", dict(PGD.params))
    chosen = suite(CW, grid=("0.3", "1"), norm="l2")
    measure(tmp_path / "results", chosen)
    assert measure(tmp_path / "results", suite(CW, l2, grid=("0.3", "1"), norm="l2")).info.reused == 2
    worst = suite(FGSM, PGD, mode="worst-case")
    measure(tmp_path / "results", worst)
    again = suite(FGSM, PGD, AttackSpec("more", "torchattacks", "pgd", PGD.params), mode="worst-case")
    run = measure(tmp_path / "results", again)
    assert run.info.reused == 8
    assert same(run, tmp_path / "alone", again)
    other = suite(PGD, FGSM, mode="worst-case")  # in another order each is handed something else
    run = measure(tmp_path / "results", other)
    assert same(run, tmp_path / "alone", other)


def test_another_model_seed_or_witnesses_are_other_units(tmp_path):
    folder = tmp_path / "results"
    measure(folder)
    assert measure(folder, seed=1).info.reused == 0
    assert measure(folder, witnesses="none", n=33).info.reused == 0
    assert measure(folder, suite(PGD, FGSM), fresh=True).info.reused == 0

    class Other(SmallNet):  # the same tensors, another function
        def forward(self, images):
            return super().forward(images) * 1.5

    shutil.rmtree(next(folder.glob("toy-model-toy-*")))
    assert measure(folder, suite(FGSM, PGD), model=Other(), force=True).info.reused == 0


def test_a_damaged_entry_does_not_count(tmp_path):
    folder = tmp_path / "results"
    measure(folder)
    for place, entry in enumerate(sorted((folder / ".units").iterdir())):
        victim = entry / ("facts.parquet", "unit.json", "witnesses.parquet", "facts.parquet")[place % 4]
        if victim.exists():
            content = victim.read_bytes()
            victim.unlink()
            if place % 4 != 2:
                victim.write_bytes(content[:20])
    chosen = suite(PGD, FGSM)
    run = measure(folder, chosen)
    assert run.info.reused <= 1
    assert same(run, tmp_path / "alone", chosen)
