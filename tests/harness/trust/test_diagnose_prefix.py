"""Findings where attacks saw only the first samples: compared on those that both attacked."""

from book import AUTO, PGD, SQUARE, Book, N

from harness.trust.diagnosis import verdict


class Prefix(Book):
    """A book in which attacks with an n have facts of the first so many samples only; the slice's order is by id."""

    @property
    def facts(self):
        drawn = {attack["id"]: attack.get("n", N) for attack in self.attacks}
        whole = super().facts
        names, ids = whole["attack"].to_pylist(), whole["sample_id"].to_pylist()
        return whole.filter([i < drawn.get(name, N) for name, i in zip(names, ids, strict=True)])


def on_prefix(attack, n):
    return {**attack, "n": n, "chunk": 1}


def test_attacks_are_compared_only_on_samples_that_both_attacked():
    """On the prefix both break the same; PGD's many breaks behind it say nothing against AutoAttack."""
    short = on_prefix(AUTO, 50)
    parts = [("apgd-ce", 20), ("square", 0)]

    def book(weak, strong):
        made = Prefix(PGD, short).cell(PGD, weak).cell(short, strong)
        for component, backwards in parts:
            made.cell(short, strong if component == "apgd-ce" else (), component=component, backwards=backwards)
        return made

    assert book(range(10, 190), range(10, 50)).said() == []
    # P8: of the 50 that both attacked, PGD breaks 30 more.
    wrong = book(range(10, 190), range(10, 20))
    assert ("P8", "error") in wrong.said()
    assert "breaks 60.0 %" in wrong.message("P8")
    # P16: AutoAttack leaves 10 of 50, PGD 40 of these and all others: 60 points on the prefix.
    gap = book(range(10), range(40))
    assert gap.said() == [("P16", "warn")]
    assert "aa is 60.0 % below pgd-20" in gap.message("P16")


def test_an_attack_without_gradients_is_compared_on_the_common_prefix():
    short = on_prefix(SQUARE, 50)
    quiet = Prefix(PGD, short).cell(PGD, range(50)).cell(short, range(50), backwards=0)
    assert quiet.said() == []
    masked = Prefix(PGD, short).cell(PGD, range(50, 200)).cell(short, range(50), backwards=0)
    assert ("P8", "error") in masked.said()
    assert "breaks 100.0 %" in masked.message("P8")


def test_a_run_on_a_prefix_has_a_grade():
    short = on_prefix(SQUARE, 50)

    def book():
        return Prefix(PGD, short).cell(PGD, range(100)).cell(short, range(40), backwards=0)

    assert book().grade() == "A"
    longer = Prefix(PGD, on_prefix(SQUARE, 60)).run  # of which ten samples have no fact
    assert longer.drawn == {"pgd-20": N, "square": 60}
    assert verdict(longer, book().facts)[1] is None
