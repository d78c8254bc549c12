"""Forged evidence: stored images, and what is said of them."""

import shutil

from forgery import beyond, first, nothing

from harness.evidence import facts


def same_witness(row):
    return {name: row[name] for name in ("distance", "margin", "adv_pred", "source", "query_index", "restart")}


def outside_recorded_inside(f):
    """An enlarged perturbation under the old distance."""
    assert f.swap_image(beyond(f, 2.0), lambda w: w["attack"] == "pgd", measure=False) > 3
    return "outside the ball"


def outside_in_all_records(f):
    """An enlarged perturbation with its distance in witnesses and facts, on which all records agree."""
    assert f.swap_image(beyond(f, 1.01), lambda w: w["attack"] == "pgd") > 3
    f.recount()
    return "outside the ball"


def inside_but_not_the_recorded(f):
    """A smaller perturbation that still works, under the old distance: a more convincing break than it is."""
    f.edit_facts(lambda r: {**r, "distance": r["distance"] / 2} if r["distance"] else r)
    f.edit_witnesses(lambda w: {**w, "distance": w["distance"] / 2})
    return "the recorded distance is not the image's"


def outside_the_box(f):
    """Pixels below zero, inside the ball."""

    def dig(witness):
        image, clean = f.image(witness), f.clean(witness["sample_id"])
        image[clean == 0] = -witness["distance"] / 2
        return image

    assert f.swap_image(dig, lambda w: w["attack"] == "pgd") > 3
    return "outside [0,1]"


def not_a_number(f):
    """NaN, which passes every comparison that is written the wrong way round."""
    assert f.swap_image(nothing(f), lambda w: w["attack"] == "fgsm", measure=False) > 3
    return "outside [0,1]"


def another_size(f):
    """Bytes that are no image."""
    f.edit_witnesses(lambda w: {**w, "image": w["image"][:-4]})
    return "another size"


def clean_image(f):
    """The clean image as its own witness."""
    assert f.swap_image(lambda w: f.clean(w["sample_id"]), lambda w: w["attack"] == "pgd") > 3
    return "does not misclassify"


def clean_image_called_marginal(f):
    """The same, with a margin so small that another device might explain it."""
    f.swap_image(lambda w: f.clean(w["sample_id"]), lambda w: True)
    f.edit_facts(lambda r: {**r, "margin": 1e-9} if r["outcome"] in facts.BROKEN else r)
    f.edit_witnesses(lambda w: {**w, "margin": 1e-9})
    return "does not misclassify"


def louder_margin(f):
    """Breaks that look safer than they are."""
    f.edit_facts(lambda r: {**r, "margin": r["margin"] + 1} if r["outcome"] in facts.BROKEN else r)
    f.edit_witnesses(lambda w: {**w, "margin": w["margin"] + 1})
    return "recorded margin"


def another_class(f):
    """Breaks into a more embarrassing class."""

    def change(row):
        if row["adv_pred"] is None:
            return row
        label = int(f.data.labels[row["sample_id"]])
        return {**row, "adv_pred": next(c for c in range(5) if c not in (label, row["adv_pred"]))}

    f.edit_facts(change)
    f.edit_witnesses(change)
    return "another class than recorded"


def exchanged(f):
    """Two samples' witnesses exchanged."""
    one, two = [w for w in f.all_witnesses() if w["attack"] == "pgd"][:2]
    images = {one["sample_id"]: two["image"], two["sample_id"]: one["image"]}
    f.edit_witnesses(
        lambda w: {**w, "image": images[w["sample_id"]]} if w["attack"] == "pgd" and w["sample_id"] in images else w
    )
    return "witness of pgd"


def no_witness_files(f):
    """The evidence removed."""
    shutil.rmtree(f.folder / "witnesses")
    return "no witness is stored"


def one_witness_dropped(f):
    """One image of many removed."""
    gone = f.all_witnesses()[0]
    f.edit_witnesses(lambda w: None if w == gone else w)
    return f"(sample {gone['sample_id']})"


def witness_twice(f):
    """One image stored a second time."""
    path = next((f.folder / "witnesses").glob("pgd@*"))
    shutil.copy(path, path.with_name("pgd@more-00000.parquet"))
    return "two witnesses of pgd"


def witness_of_nobody(f):
    """An image of a sample that was not measured."""
    gone = f.all_witnesses()[0]["sample_id"]
    f.edit_witnesses(lambda w: {**w, "sample_id": 10**6} if w["sample_id"] == gone else w)
    return "belongs to no fact"


def excused_by_none(f):
    """The evidence removed, and run.json changed to say that none was kept."""
    shutil.rmtree(f.folder / "witnesses")
    f.edit_json("run.json", lambda info: info.update(witnesses="none"))
    f.rehash()
    return "kept no witnesses"


def excused_by_worst(f):
    """A sample's evidence removed, and run.json changed to say that one a sample was kept."""
    gone = f.all_witnesses()[0]["sample_id"]
    f.edit_witnesses(lambda w: None if w["sample_id"] == gone or w["attack"] == "fgsm" else w)
    f.edit_json("run.json", lambda info: info.update(witnesses="worst"))
    f.rehash()
    return f"sample {gone}"


def torn_witnesses(f):
    """Half a file of witnesses."""
    path = next((f.folder / "witnesses").glob("pgd@*"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path.name


def smaller_epsilon(f):
    """Breaks told at an epsilon at which nothing was found."""
    rows = f.all_facts()
    low, high = sorted({r["epsilon"] for r in rows if r["attack"] == "pgd"})[:2]
    late = first(rows, attack="pgd", outcome="witness", epsilon=high)

    def change(row):
        mine = (row["sample_id"], row["attack"]) == (late["sample_id"], "pgd")
        if mine and row["epsilon"] == low:
            return {**late, "epsilon": low, "epsilon_label": row["epsilon_label"]}
        return (
            {**row, "outcome": "inherited", "origin_epsilon": low, **same_witness(late)}
            if mine and row["epsilon"] > low
            else row
        )

    f.edit_facts(change)
    f.edit_witnesses(
        lambda w: {**w, "epsilon": low} if (w["sample_id"], w["attack"]) == (late["sample_id"], "pgd") else w
    )
    f.recount()
    return "outside the ball of 2/255"


CHECKS = {
    outside_recorded_inside: "ball",
    outside_in_all_records: "ball",
    inside_but_not_the_recorded: "ball",
    outside_the_box: "box",
    not_a_number: "box",
    another_size: "witness",
    clean_image: "prediction",
    clean_image_called_marginal: "prediction",
    louder_margin: "margin",
    another_class: "prediction",
    exchanged: "box",
    no_witness_files: "backing",
    one_witness_dropped: "backing",
    witness_twice: "witness",
    witness_of_nobody: "witness",
    excused_by_none: "backing",
    excused_by_worst: "backing",
    torn_witnesses: "witness",
    smaller_epsilon: "ball",
}
"""Forgery to the check that must name it."""
