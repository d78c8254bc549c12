"""Suite files: what they say, and errors that name key and line."""

import pytest

from harness.errors import BadEpsilon, BadSuite, UnknownName, UsageError
from harness.inputs.prefixes import check_after, parse_attack_n
from harness.inputs.registry import Registry
from harness.inputs.suite_file import load_suite, read_suite
from harness.inputs.suite_names import content_of

GOOD = """\
name = "mine"
version = 3
norm = "linf"
epsilons = ["8/255", "2/255"]

[[attack]]
id = "pgd-7"
tool = "torchattacks"
method = "pgd"
params = { steps = 7, step_size = "epsilon/4", random_start = true }

[[attack]]
id = "fgsm"
tool = "torchattacks"
method = "fgsm"
"""


def suite_of(tmp_path, text):
    path = tmp_path / "s.toml"
    path.write_text(text)
    return read_suite(path)


def test_a_suite_is_read(tmp_path):
    suite = suite_of(tmp_path, GOOD)
    assert suite.label == "mine@3"
    assert [epsilon.label for epsilon in suite.grid] == ["2/255", "8/255"]
    assert (suite.mode, suite.chunk) == ("observed", 512)
    pgd, fgsm = suite.resolve()
    assert pgd.parameters(8 / 255) == {"random_start": True, "restarts": 1, "step_size": 2 / 255, "steps": 7}
    assert pgd.iterative
    assert not fgsm.iterative


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('norm = "linf"', 'norm = "max"', 3, "unknown norm 'max'"),
        ("version = 3", 'version = "3"', 2, "version must be a whole number"),
        ('epsilons = ["8/255", "2/255"]', 'epsilons = ["8"]', 4, "did you mean 8/255"),
        ('epsilons = ["8/255", "2/255"]', "epsilons = []", 4, "no epsilon"),
        ("version = 3", "version = 3\nchunks = 5", 3, "unknown key 'chunks'"),
        ("version = 3", "version = 3\nchunk = 0", 3, "chunk must be at least 1"),
        ("version = 3", 'version = 3\nmode = "fast"', 3, "mode must be one of"),
        ('id = "fgsm"', 'id = "pgd-7"', 13, "stands twice"),
        ('id = "fgsm"', 'id = "../x y"', 13, "must be letters"),
        ('id = "fgsm"', 'id = "clean"', 13, "not 'clean'"),
        ('id = "fgsm"\n', 'id = "fgsm"\nstrength = 9\n', 14, "unknown key 'strength'"),
        ('id = "fgsm"\n', "", 12, "key 'id' is missing in \\[\\[attack\\]\\] number 2"),
        ('name = "mine"\n', "", 1, "key 'name' is missing"),
    ],
)
def test_a_bad_key_is_named_with_its_line(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(BadSuite, match=rf"s\.toml, line {line}: .*{message}"):
        suite_of(tmp_path, GOOD.replace(old, new, 1))


def test_a_file_that_is_no_toml_names_the_line(tmp_path):
    with pytest.raises(BadSuite, match="line 3"):
        suite_of(tmp_path, 'name = "x"\nversion = 1\nnorm = \n')
    with pytest.raises(BadSuite, match="cannot be read"):
        read_suite(tmp_path / "absent.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSuite, match="cannot be read"):
        read_suite(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ('{ steps = 7, step_size = "epsilon/4" }', "'random_start' is missing"),
        ('{ steps = "7", step_size = "epsilon/4", random_start = true }', "steps must be int"),
        ('{ steps = 7, step_size = "a lot", random_start = true }', "step_size must be"),
        ('{ steps = 7, step_size = "epsilon/4", random_start = true, momentum = 1 }', "unknown parameter 'momentum'"),
        ('{ steps = 7, step_size = "epsilon/4", random_start = true, restarts = 0 }', "restarts must be at least 1"),
        ("{ steps = 7, step_size = 0.0, random_start = true }", "step_size must be above 0, not 0.0"),
        ("{ steps = 7, step_size = -0.01, random_start = true }", "step_size must be above 0, not -0.01"),
        ('{ steps = 7, step_size = "0*epsilon", random_start = true }', r"step_size must be above 0, not '0\*epsilon'"),
        ('{ steps = 7, step_size = "epsilon/0.0", random_start = true }', "step_size must be a finite number"),
        (f'{{ steps = 7, step_size = "{"9" * 400}*epsilon", random_start = true }}', "step_size must be a finite"),
        (f"{{ steps = 7, step_size = {'9' * 400}, random_start = true }}", "step_size must be a finite number"),
        ("{ steps = 7, step_size = nan, random_start = true }", "step_size must be a finite number, not nan"),
        ("{ steps = 7, step_size = inf, random_start = true }", "step_size must be a finite number, not inf"),
    ],
)
def test_no_strength_is_left_to_a_default(tmp_path, params, message):
    text = GOOD.replace('{ steps = 7, step_size = "epsilon/4", random_start = true }', params)
    with pytest.raises(BadSuite, match=f"suite 'mine': attack 'pgd-7': .*{message}"):
        suite_of(tmp_path, text).resolve()


def test_a_norm_the_attack_does_not_have_is_refused(tmp_path):
    with pytest.raises(BadSuite, match="has no norm 'l1'"):
        suite_of(tmp_path, GOOD.replace('norm = "linf"', 'norm = "l1"')).resolve()


def test_unknown_tools_and_suites_suggest(tmp_path):
    with pytest.raises(UnknownName, match="did you mean"):
        suite_of(tmp_path, GOOD.replace('method = "fgsm"', 'method = "fgms"')).resolve()
    with pytest.raises(UnknownName, match="did you mean 'pgd'"):
        load_suite("pdg")


def test_a_mode_the_suite_sets_cannot_be_contradicted(tmp_path):
    free = suite_of(tmp_path, GOOD)
    assert free.with_mode("faithful").mode == "faithful"
    with pytest.raises(UsageError, match="unknown mode"):
        free.with_mode("quick")
    fixed = suite_of(tmp_path, GOOD.replace("version = 3", 'version = 3\nmode = "faithful"'))
    with pytest.raises(UsageError, match="sets mode 'faithful' itself"):
        fixed.with_mode("observed")
    assert fixed.with_mode("faithful").mode == "faithful"


def test_the_grid_can_be_replaced(tmp_path):
    suite = suite_of(tmp_path, GOOD).with_grid(["3/255"])
    assert [epsilon.label for epsilon in suite.grid] == ["3/255"]
    with pytest.raises(BadEpsilon):
        suite.with_grid(["8"])


@pytest.mark.parametrize("name", Registry("suites").names())
def test_every_builtin_suite_resolves_and_reuses_nothing_hidden(name):
    suite = load_suite(name)
    assert suite.name == name
    for attack, spec in zip(suite.resolve(), suite.attacks, strict=True):
        resolved = attack.parameters(suite.grid[-1].value)
        assert set(spec.params) <= set(resolved)
        assert not any(isinstance(value, str) and "epsilon" in value for value in resolved.values())


def test_an_attack_says_on_how_many_samples_it_runs_and_after_whom(tmp_path):
    suite = suite_of(tmp_path, GOOD + "n = 384\nchunk = 128\nafter = 'all'\n")
    first, dear = suite.attacks
    assert (first.n, first.chunk, first.after) == (None, None, None)
    assert (dear.n, dear.chunk, dear.after) == (384, 128, "all")
    assert suite.counts(1000) == (1000, 384)
    assert suite.counts(384) == (384, 384)
    assert suite.counts(200) == (200, 200)  # a suite's n is at most
    share = suite_of(tmp_path, GOOD + "n = 0.1\nchunk = 128\n")
    assert share.counts(1280) == (1280, 128)  # a tenth is a whole chunk
    assert share.counts(1281) == (1281, 256)  # else it is rounded up
    assert share.counts(100) == (100, 100)  # but not beyond the slice


@pytest.mark.parametrize(
    ("rest", "line", "message"),
    [
        ("n = 0", 16, "n of attack 'fgsm' must be a whole number of samples from 1, or a share"),
        ("n = 300.0", 16, "must be a whole number of samples from 1, or a share between 0 and 1, not 300.0"),
        ("n = nan", 16, "must be a whole number of samples from 1, or a share between 0 and 1, not nan"),
        ("n = true", 16, "n must be a number of samples or a share of them, not True"),
        ("n = 300", 16, "n = 300 of attack 'fgsm' is no multiple of its chunk, 512; take 512, or give"),
        ("n = 300\nchunk = 128", 16, "n = 300 of attack 'fgsm' is no multiple of its chunk, 128; take 256 or 384"),
        ("n = 300\nchunk = 100", 17, "chunk 100 of attack 'fgsm' does not divide the suite's, 512"),
        ('after = "pgd-7"', 16, "after of attack 'fgsm' must be 'all', not 'pgd-7'"),
    ],
)
def test_a_bad_prefix_is_one_line(tmp_path, rest, line, message):
    with pytest.raises(BadSuite, match=rf"s\.toml, line {line}: .*{message}"):
        suite_of(tmp_path, GOOD + rest + "\n")


def test_prefixes_shrink_from_all_samples(tmp_path):
    table = '[[attack]]\nid = "third"\ntool = "torchattacks"\nmethod = "fgsm"\n'
    with pytest.raises(BadSuite, match=r"'third' runs on more samples \(all samples\) than 'fgsm' before it"):
        suite_of(tmp_path, GOOD + "n = 512\n" + table)
    with pytest.raises(BadSuite, match=r"line 21: .*'third' runs on more samples \(n = 1024\) than 'fgsm'"):
        suite_of(tmp_path, GOOD + "n = 512\n" + table + "n = 1024\n")
    mixed = suite_of(tmp_path, GOOD + "n = 512\n" + table + "n = 0.5\n")  # which is more depends on the slice
    assert mixed.counts(1000) == (1000, 512, 512)
    with pytest.raises(BadSuite, match=r"'third' runs on more samples \(n = 0.5\)"):
        mixed.counts(2048)
    assert mixed.counts(200) == (200, 200, 200)
    head = GOOD.replace("random_start = true }", "random_start = true }\nn = 512")
    with pytest.raises(BadSuite, match="no attack runs on all samples: the first, 'pgd-7', has n = 512"):
        suite_of(tmp_path, head)
    with pytest.raises(BadSuite, match="'pgd-7' is the first, so it comes after nothing"):
        suite_of(tmp_path, head.replace("n = 512", "after = 'all'"))


def test_another_n_shows_as_edited(tmp_path):
    suite = suite_of(tmp_path, GOOD + "n = 512\n")
    wanted = parse_attack_n(["fgsm=1024"])
    assert suite.with_attack_n(wanted).counts(2000) == (2000, 1024)
    assert suite.with_attack_n(wanted).edited == ("fgsm",)
    assert suite.with_attack_n({"fgsm": 512}).edited == ()
    with pytest.raises(BadSuite, match="n = 1024 of attack 'fgsm' is more than the slice's 600 samples"):
        suite.with_attack_n(wanted).counts(600)  # one that is given is meant for this slice
    assert suite.with_attack_n(parse_attack_n(["fgsm=all"])).counts(600) == (600, 600)
    assert parse_attack_n(["a=b=0.25"]) == {"a=b": 0.25}
    with pytest.raises(UsageError, match="the suite has no attack 'cw'; it has pgd-7, fgsm"):
        suite.with_attack_n({"cw": 512})
    with pytest.raises(BadSuite, match="n = 500 of attack 'fgsm' is no multiple"):
        suite.with_attack_n({"fgsm": 500})
    for words, message in (("fgsm", "is not ID=N"), ("fgsm=x", "is not ID=N"), ("=3", "is not ID=N")):
        with pytest.raises(UsageError, match=message):
            parse_attack_n([words])
    with pytest.raises(UsageError, match="names 'a' twice"):
        parse_attack_n(["a=1", "a=2"])


@pytest.mark.parametrize("mode", ["faithful", "watch", "bisection"])
def test_modes_that_spare_nothing_refuse_after(tmp_path, mode):
    suite = suite_of(tmp_path, GOOD + 'after = "all"\n')
    check_after(suite.name, suite.attacks, suite.resolve(), "worst-case")
    with pytest.raises(BadSuite, match=f"'fgsm' comes after others, which mode {mode} does not do; use observed or"):
        check_after(suite.name, suite.attacks, suite.resolve(), mode)


def test_attacks_that_another_witness_does_not_settle_refuse_after(tmp_path):
    aimed = GOOD.replace("random_start = true }", 'random_start = true, target = "kth:1" }')
    head, first, second = aimed.split("[[attack]]")
    suite = suite_of(tmp_path, "[[attack]]".join([head, second + "\n", first]) + 'after = "all"\n')
    with pytest.raises(BadSuite, match="'pgd-7' looks for one class"):
        check_after(suite.name, suite.attacks, suite.resolve(), "observed")


PATCHED = GOOD.replace('["8/255", "2/255"]', '["5%", "2%"]')


def test_threat_is_a_ball_unless_the_suite_says_otherwise(tmp_path):
    ball, patch = suite_of(tmp_path, GOOD), suite_of(tmp_path, 'threat = "patch"\n' + PATCHED)
    assert (ball.threat, patch.threat) == ("ball", "patch")
    told = [content_of(suite.norm, suite.chunk, suite.attacks, suite.threat) for suite in (ball, patch)]
    assert told[0] == content_of("linf", ball.chunk, ball.attacks) != told[1]
    with pytest.raises(BadSuite, match="line 1: unknown threat 'fog'; use one of ball, corruption, patch"):
        suite_of(tmp_path, 'threat = "fog"\n' + GOOD)


def test_a_patch_lies_where_the_suite_says(tmp_path):
    plain = suite_of(tmp_path, 'threat = "patch"\n' + PATCHED)
    boxed = suite_of(tmp_path, 'threat = "patch"\nplace = "boxes"\n' + PATCHED)
    assert (plain.place, boxed.place) == ("drawn", "boxes")
    told = [content_of(s.norm, s.chunk, s.attacks, s.threat, s.place) for s in (plain, boxed)]
    assert told[0] == content_of("linf", plain.chunk, plain.attacks, "patch") != told[1]
    with pytest.raises(BadSuite, match="line 2: place must be one of drawn, center, boxes, not 'left'"):
        suite_of(tmp_path, 'threat = "patch"\nplace = "left"\n' + PATCHED)
    with pytest.raises(BadSuite, match='line 1: place is for threat = "patch"; leave it out'):
        suite_of(tmp_path, 'place = "center"\n' + GOOD)
