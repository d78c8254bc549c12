"""Forged facts: breaks hidden or invented, samples left out, doubled or exchanged."""

import shutil

from forgery import SURVIVED, at, first

from harness.evidence import facts


def hidden_break(f):
    """A break turned into a survivor in every fact, sums and hashes mended, the witness forgotten."""
    row = first(f.all_facts(), attack="pgd", outcome="witness")
    f.edit_facts(lambda r: {**r, **SURVIVED} if (r["sample_id"], r["attack"]) == (row["sample_id"], "pgd") else r)
    f.rehash()
    return f"sample {row['sample_id']}"


def hidden_in_one_cell(f):
    """A break hidden at one epsilon only: the next one still inherits it."""
    row = first(f.all_facts(), attack="pgd", outcome="witness", epsilon=lambda e: e < 9 / 255)
    f.edit_facts(lambda r: {**r, **SURVIVED} if at(r, row) else r)
    f.recount()
    return "inherited without a witness"


def invented_break(f):
    """A survivor called broken, to make a rival look weak: there is no image."""
    row = first(f.all_facts(), attack="pgd", outcome="survived", epsilon=lambda e: e > 9 / 255)
    told = {
        "outcome": "witness",
        "distance": 0.01,
        "margin": 1.0,
        "adv_pred": (row["label"] + 1) % 5,
        "source": "query",
    }
    f.edit_facts(lambda r: {**r, **told} if at(r, row) else r)
    f.recount()
    return f"(sample {row['sample_id']})"


def relabeled_facts(f):
    """The same in the facts only."""
    f.edit_facts(lambda r: {**r, "epsilon_label": "32/255"} if r["epsilon_label"] == "16/255" else r)
    return "labeled '32/255'"


def origin_that_is_none(f):
    """Inherited from an epsilon that has nothing to leave."""
    row = first(f.all_facts(), attack="pgd", outcome="inherited")
    f.edit_facts(lambda r: {**r, "origin_epsilon": r["epsilon"]} if at(r, row) else r)
    return "not what the smaller epsilon has"


def fact_left_out(f):
    """The facts of a broken sample left out, so that it does not count."""
    gone = first(f.all_facts(), attack="pgd", outcome="witness")
    f.edit_facts(lambda r: None if at(r, gone) else r)
    f.recount()
    return f"facts are missing (sample {gone['sample_id']})"


def shard_left_out(f):
    """A whole file of facts left out."""
    next((f.folder / "facts").glob("pgd@16_255-00001*")).unlink()
    f.recount()
    return "pgd at 16/255: facts are missing"


def sample_left_out(f):
    """A sample left out everywhere, and n with it."""
    gone = first(f.all_facts(), attack="pgd", outcome="witness")["sample_id"]
    f.edit_facts(lambda r: None if r["sample_id"] == gone else r)
    f.edit_witnesses(lambda w: None if w["sample_id"] == gone else w)
    f.edit_json("run.json", lambda info: info["data"].update(n=59))
    f.rehash()
    return "59 samples"


def survivors_twice(f):
    """Survivors counted twice."""
    path = next((f.folder / "facts").glob("pgd@16_255-00000*"))
    table = facts.read(path)
    rows = [row for row in table.to_pylist() if row["outcome"] == "survived"]
    facts.write(path.with_name("pgd@16_255-00002.parquet"), table.from_pylist(rows, schema=facts.SCHEMA))
    f.recount()
    return "pgd at 16/255: facts are doubled"


def foreign_samples(f):
    """Easy samples put in the place of hard ones."""
    hard = first(f.all_facts(), attack="pgd", outcome="witness")["sample_id"]
    f.edit_facts(lambda r: {**r, "sample_id": 10**6} if r["sample_id"] == hard else r)
    f.edit_witnesses(lambda w: None if w["sample_id"] == hard else w)
    f.recount()
    return "samples of the facts are not those"


def foreign_attack(f):
    """Facts of an attack that the run did not have."""
    path = next((f.folder / "facts").glob("pgd@16_255-00000*"))
    shutil.copy(path, path.with_name("autoattack@16_255-00000.parquet"))
    f.edit_facts(lambda r: {**r, "attack": "autoattack", **SURVIVED}, "autoattack@*")
    return "attack 'autoattack'"


def foreign_epsilon(f):
    """Facts at an epsilon that is not in the grid."""
    path = next((f.folder / "facts").glob("pgd@16_255-00000*"))
    shutil.copy(path, path.with_name("pgd@more-00000.parquet"))
    f.edit_facts(lambda r: {**r, "epsilon": 0.5, "epsilon_label": "0.5"}, "pgd@more*")
    return "epsilon 0.5"


def better_clean_accuracy(f):
    """Misclassified samples called right, everywhere."""
    right = {r["sample_id"]: r["label"] for r in f.all_facts() if r["outcome"] == "clean_wrong"}

    def change(row):
        if row["sample_id"] not in right:
            return row
        margin = -abs(row["margin"]) if row["attack"] == "clean" else None
        return {**row, "clean_pred": row["label"], "outcome": "survived", "margin": margin}

    assert f.edit_facts(change) > 10
    f.recount()
    return "the model predicts another class"


def labels_of_ones_own(f):
    """The prediction made the label."""
    right = {r["sample_id"]: r["clean_pred"] for r in f.all_facts() if r["outcome"] == "clean_wrong"}

    def change(row):
        if row["sample_id"] not in right:
            return row
        margin = -abs(row["margin"]) if row["attack"] == "clean" else None
        return {**row, "label": row["clean_pred"], "outcome": "survived", "margin": margin}

    f.edit_facts(change)
    f.recount()
    return "the label is not that of the data"


def clean_pass_contradicted(f):
    """One attack that sees more correct samples than the clean pass."""
    f.edit_facts(lambda r: {**r, **SURVIVED} if r["outcome"] == "clean_wrong" and r["attack"] == "pgd" else r)
    f.recount()
    return "the clean pass says otherwise"


def torn_facts(f):
    """Half a file of facts."""
    path = next((f.folder / "facts").glob("pgd@*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def nameless_facts(f):
    """Facts of no sample."""
    f.edit_facts(lambda r: {**r, "sample_id": None} if r["outcome"] == "witness" else r)
    return "has no sample_id"


CHECKS = {
    hidden_break: "witness",
    hidden_in_one_cell: "inherited",
    invented_break: "backing",
    relabeled_facts: "facts",
    origin_that_is_none: "inherited",
    fact_left_out: "facts",
    shard_left_out: "facts",
    sample_left_out: "data",
    survivors_twice: "facts",
    foreign_samples: "facts",
    foreign_attack: "facts",
    foreign_epsilon: "facts",
    better_clean_accuracy: "clean",
    labels_of_ones_own: "label",
    clean_pass_contradicted: "clean",
    torn_facts: "facts",
    nameless_facts: "facts",
}
"""Forgery to the check that must name it."""
