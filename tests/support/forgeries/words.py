"""Forged words: what run.json says was measured, and the numbers of summary.json."""


def better_summary(f):
    """A nicer number in summary.json."""

    def change(summary):
        summary["cells"][0]["robust_accuracy"] += 0.1

    f.edit_json("summary.json", change)
    return "cells.fgsm at 2/255.robust_accuracy"


def better_worst_case(f):
    """A nicer worst case."""
    f.edit_json("summary.json", lambda summary: summary["worst_case"][-1].update(robust_accuracy=0.9))
    return "worst_case.16/255"


def cell_left_out(f):
    """The worst cell left out of summary.json."""
    f.edit_json("summary.json", lambda summary: summary["cells"].pop())
    return "no cells.pgd at 16/255"


def number_of_ones_own(f):
    """A number that no fact gives."""
    f.edit_json("summary.json", lambda summary: summary.update(certified_accuracy=0.97))
    return "certified_accuracy"


def no_summary(f):
    """No summary at all."""
    (f.folder / "summary.json").unlink()
    return "summary.json"


def stronger_attack_told(f):
    """Five steps run, fifty told."""
    f.edit_json("run.json", lambda info: info["suite"]["attacks"][1]["params"].update(steps=50))
    return "key"


def other_seed_told(f):
    """Another seed, key mended, name not."""
    name = f.info["run_name"]
    f.edit_json("run.json", lambda info: info.update(seed=7))
    f.rehash()
    f.edit_json("run.json", lambda info: info.update(run_name=name))
    return f"calls the run '{name}'"


def other_suite_label(f):
    """A label that the suite does not have."""
    f.edit_json("run.json", lambda info: info["suite"].update(label="autoattack@1"))
    f.rehash()
    return "labels its suite 'autoattack@1'"


def relabeled_epsilon(f):
    """Measured at 16/255, called 32/255."""

    def change(info):
        info["suite"]["grid"][-1] = "32/255"
        for attack in info["suite"]["attacks"]:
            attack["resolved"]["32/255"] = attack["resolved"].pop("16/255")

    f.edit_json("run.json", change)
    f.edit_facts(lambda r: {**r, "epsilon_label": "32/255"} if r["epsilon_label"] == "16/255" else r)
    f.rehash()
    return "do not fit together"


def larger_epsilon(f):
    """Measured at 16/255, told as 32/255 throughout: label, value, facts, witnesses, hashes."""

    def change(info):
        info["suite"]["grid"][-1], info["suite"]["epsilons"][-1] = "32/255", 32 / 255
        for attack in info["suite"]["attacks"]:
            attack["resolved"]["32/255"] = attack["resolved"].pop("16/255")

    def move(row):
        row = {**row, "epsilon": 32 / 255} if row["epsilon"] > 15 / 255 else row
        return {**row, "epsilon_label": "32/255"} if row.get("epsilon_label") == "16/255" else row

    f.edit_json("run.json", change)
    f.edit_facts(move)
    f.edit_witnesses(move)
    f.rehash()
    return None  # consistent, and true: who breaks at 16/255 breaks at 32/255. The survivors are what is false.


def run_without_a_mode(f):
    """run.json that lacks what a run must have."""
    f.edit_json("run.json", lambda info: info.pop("mode"))
    return "mode is missing"


def impossible_number(f):
    """NaN in run.json."""
    f.edit_json("run.json", lambda info: info.update(seconds=float("nan")))
    return "NaN is no JSON number"


def other_slice_told(f):
    """Another data slice told, hashes mended."""
    f.edit_json("run.json", lambda info: info["data"].update(slice="sha256:" + 64 * "0"))
    f.rehash()
    return "sha256:000000000000"


def more_samples_told(f):
    """More samples told than the data set has."""
    f.edit_json("run.json", lambda info: info["data"].update(n=10_000))
    f.rehash()
    return "has only 60"


def other_checkpoint_told(f):
    """Another checkpoint's tensors told, hashes mended."""
    f.edit_json("run.json", lambda info: info.update(subject="sha256:" + 64 * "0"))
    f.rehash()
    return "sha256:00000000"


def other_weights_told(f):
    """A run that tells no tensors, as older ones, and the hash of other weights."""

    def change(info):
        info["model"].update(sha256="state:" + 64 * "0")
        info.pop("subject")

    f.edit_json("run.json", change)
    f.rehash()
    return "state:00000000"


CHECKS = {
    better_summary: "summary",
    better_worst_case: "summary",
    cell_left_out: "summary",
    number_of_ones_own: "summary",
    no_summary: "summary",
    stronger_attack_told: "key",
    other_seed_told: "key",
    other_suite_label: "key",
    relabeled_epsilon: "run",
    run_without_a_mode: "run",
    impossible_number: "run",
    other_slice_told: "data",
    more_samples_told: "data",
    other_checkpoint_told: "model",
    other_weights_told: "model",
}
"""Forgery to the check that must name it."""
