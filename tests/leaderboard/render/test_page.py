"""The page in a real browser: sort, filter, switch, toggle, open a model; no error, no request, and names stay text."""

from __future__ import annotations

import pytest
from browser import chromium, in_browser, needs_chromium, visit

from leaderboard.render.html.page import render
from leaderboard.runs.collect import collect
from leaderboard.tables.tables import make_tables
from model_zoo.datasets.classes import TRAFFIC_SIGNS

E1, E4, E8 = "1/255", "4/255", "8/255"
HOSTILE = {
    "script": "<script>document.title='owned'</script>",
    "attribute": "\" onmouseover=\"alert(1)' x='<img src=x onerror=alert(1)>",
    "closing": "</script></style></textarea><h1>big</h1>",
    "template": "{{ 7 * 7 }}{% raw %}",
    "right to left": "\u202egnp.exe\u200f",
    "control": "a\x00b\x1b[31m\ud800",
    "long": "w" * 500,
    "link": "javascript:alert(1)",
}


def write_board(runs) -> None:
    attacks = [
        runs.attack("fgsm", iterative=False), runs.attack("pgd-2", steps=2), runs.attack("pgd-10", steps=10),
        runs.attack("autoattack", tool="autoattack"),
    ]  # fmt: skip
    options = {"n": 90, "grid": (E1, E4, E8), "attacks": attacks, "classes": TRAFFIC_SIGNS, "suite": "mine@1"}
    weak = {a["id"]: dict.fromkeys(range(80), E1) for a in attacks}
    strong = {a["id"]: dict.fromkeys(range(20), E4) for a in attacks}
    middle = {a["id"]: dict.fromkeys(range(40), E4) for a in attacks}
    standard = {"defense": "standard", "architecture": "net"}
    runs.write("standard", weak, card=standard, **options)
    recipe = {"recipe": {"options": {"finetune": "standard"}}}
    runs.write("a2s", middle, card={"defense": "a2s", "architecture": "net", **recipe}, **options)
    finding = {"check": "P20", "level": "warn", "message": "odd"}
    trades = {"defense": "trades", "trained_for": {"norm": "linf", "epsilon": "3/255"}}
    given = {"given": {"model": "trades", "suite": "mine.toml", "data": "signs"}}
    runs.write("trades", strong, card=trades, wrong=[89], findings=[finding], info=given, **options)
    runs.write("trades", strong, card=trades, data="other", suite="pgd@1", n=60)


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page(module_runs):
    write_board(module_runs)
    path = module_runs.folder.with_name("board.html")
    path.write_text(render(make_tables(collect([module_runs.folder]))), encoding="utf-8")
    return path


def models(view) -> list[str]:
    return view.page.locator("section.table:not([hidden]) .scores tbody tr:not([hidden]) th").all_inner_texts()


@needs_chromium
@in_browser
def test_sorting_goes_both_ways_and_says_so(browser, page) -> None:
    with visit(browser, page) as view:
        assert models(view) == ["trades", "a2s", "standard"], "by rank at first"
        head = view.page.locator("section.table:not([hidden]) th", has_text="clean")
        head.get_by_role("button").press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert models(view)[-1] == "trades", "the only one with a mistake"
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "ascending"
        assert models(view)[0] == "trades"


@needs_chromium
@in_browser
def test_filter_and_switches(browser, page) -> None:
    with visit(browser, page) as view:
        view.page.get_by_label("Filter").fill("A2S")
        assert models(view) == ["a2s"]
        assert view.page.locator("#count").inner_text() == "1 of 3 models"
        view.page.get_by_label("Filter").fill("")

        shown = "section.table:not([hidden]) thead th[data-epsilon]:visible"
        assert len(view.page.locator(shown).all()) == 5, "four attacks and the worst case, at the ranking epsilon"
        view.page.get_by_label("Epsilon").first.select_option("")
        assert len(view.page.locator(shown).all()) == 15
        view.page.get_by_label("Tool").select_option("autoattack")
        assert len(view.page.locator(shown).all()) == 6
        view.page.get_by_label("Data set").select_option("other")
        view.drawn()
        assert models(view) == ["trades"]
        assert view.page.locator("select[name=suite]").input_value() == "pgd@1, observed"


@needs_chromium
@in_browser
def test_curves_are_drawn_toggled_and_say_their_numbers(browser, page) -> None:
    with visit(browser, page) as view:
        lines = "section.table:not([hidden]) [data-charts=curves] .chart:first-child .mark-line path"
        assert view.page.locator(lines).count() == 3
        view.page.get_by_role("checkbox", name="a2s").uncheck()
        view.page.wait_for_function("q => document.querySelectorAll(q).length === 2", arg=lines)
        for other in ("trades", "standard"):
            view.page.get_by_role("checkbox", name=other).uncheck()
        view.page.wait_for_function("q => document.querySelectorAll(q).length === 0", arg=lines)
        for other in ("trades", "standard"):
            view.page.get_by_role("checkbox", name=other).check()
        view.page.wait_for_function("q => document.querySelectorAll(q).length === 2", arg=lines)
        steps = view.page.locator("section.table:not([hidden]) [data-charts=steps] .chart")
        assert steps.count() == 3, "one for each epsilon"
        mark = view.page.locator("section.table:not([hidden]) [data-charts=curves] .mark-symbol path").last
        mark.scroll_into_view_if_needed()
        mark.hover()
        view.page.wait_for_selector("#vg-tooltip-element.visible")
        assert "right, %" in view.page.locator("#vg-tooltip-element").inner_text()


@needs_chromium
@in_browser
def test_the_pretrained_model_stands_against_its_twin(browser, page) -> None:
    with visit(browser, page) as view:
        assert view.page.get_by_text("Contrastive pre-training against its twin", exact=True).is_visible()
        chart = view.page.locator("section.table:not([hidden]) [data-pair]")
        assert chart.get_attribute("aria-label").startswith("Accuracy of a2s minus accuracy of standard")
        view.page.locator(".pick-a:visible").select_option("1")
        view.page.locator(".pick-b:visible").select_option("1")
        assert view.page.locator(".picked:visible").inner_text() == "Choose two different models."


@needs_chromium
@in_browser
def test_a_model_has_a_page_and_the_way_back_works(browser, page) -> None:
    with visit(browser, page) as view:
        view.page.get_by_role("link", name="trades").first.click()
        view.drawn("article.model:not([hidden])")
        assert not view.page.locator("#board").is_visible()
        article = view.page.locator("article.model:visible")
        assert article.count() == 1
        assert article.locator("section.run").count() == 2, "both data sets"
        text = article.inner_text()
        assert "Under attack at 8/255, the most dangerous first" in text
        assert "--model trades --suite mine.toml --data signs" in text
        assert "P20" in text
        article.get_by_text("Checklist").first.click()
        assert article.get_by_text("Perform adaptive attacks").first.is_visible()
        article.locator("select.epsilon").first.select_option("0")
        view.drawn("article.model:not([hidden])")
        view.page.go_back()
        assert view.page.locator("#board").is_visible()
        view.drawn()


@needs_chromium
@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 700}}])
@in_browser
def test_dark_mode_and_phone(browser, page, options) -> None:
    with visit(browser, page, **options) as view:
        wide = view.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, "tables scroll, the page does not"
        text, back = view.page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
        assert text != back


@needs_chromium
@in_browser
def test_a_phone_shows_the_robust_accuracy_first(browser, page) -> None:
    with visit(browser, page, viewport={"width": 390, "height": 844}) as view:
        heads = view.page.locator("section.table:not([hidden]) .scores thead th:visible").all()
        names = [" ".join(head.inner_text().split()).strip(" ↕") for head in heads]
        assert names[:5] == ["rank", "model", "worst case 8/255", "grade", "clean"]
        cells = view.page.locator("section.table:not([hidden]) .scores tbody tr:first-child > *:visible").all()
        box = cells[2].bounding_box()
        assert "score" in cells[2].get_attribute("class")
        assert box["x"] + box["width"] <= 390


@needs_chromium
@in_browser
def test_on_a_phone_the_lines_go_through_under_the_names(browser, page) -> None:
    """A collapsed border does not move with a cell that sticks, which from a fraction of a pixel on hides a line."""
    with visit(browser, page, viewport={"width": 390, "height": 844}) as view:
        table = view.page.locator("section.table:not([hidden]) .scores")
        assert table.evaluate("(table) => getComputedStyle(table).borderCollapse") == "separate"
        heights = table.locator("tr:visible").evaluate_all(
            "(rows) => rows.map((row) => row.getBoundingClientRect().height)"
        )
        assert len(heights) == 4
        assert [height for height in heights if height % 1] == []


@needs_chromium
@in_browser
def test_bars_of_different_columns_share_a_scale(browser, page) -> None:
    with visit(browser, page, viewport={"width": 1400, "height": 900}) as view:
        told = view.page.evaluate(
            """[...document.querySelectorAll("section.table:not([hidden]) td.score:not([hidden])")].map((cell) => [
                Number(cell.dataset.sort), cell.clientWidth,
                ...getComputedStyle(cell).backgroundSize.split(", ").map(parseFloat)])"""
        )
        rem = 16
        assert len({width for _, width, _, _ in told}) > 1, "columns are not of one width"
        assert {track for *_, track in told} == {5 * rem}
        for share, _, bar, _ in told:
            assert bar == pytest.approx(5 * rem * share, abs=0.05)


@needs_chromium
@in_browser
def test_a_printed_page_has_no_controls(browser, page) -> None:
    with visit(browser, page) as view:
        assert view.page.locator("input:visible, select:visible").count() > 5
        view.page.emulate_media(media="print")
        assert view.page.locator("input:visible, select:visible, .screen:visible, form:visible").count() == 0
        assert view.page.locator(".models label:visible").count() == 3, "what the colors of the curves mean stays"
        arrows = "getComputedStyle(document.querySelector('section.table:not([hidden]) th button'), '::after').display"
        assert view.page.evaluate(arrows) == "none"
        view.page.emulate_media(media="screen")
        view.page.evaluate("location.hash = '#m0'")
        view.drawn("article.model:not([hidden])")
        view.page.emulate_media(media="print")
        assert view.page.locator("input:visible, select:visible, .back:visible").count() == 0


@needs_chromium
@in_browser
def test_without_scripts_everything_is_there_as_tables(browser, page) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        view = context.new_page()
        view.goto(page.as_uri())
        assert view.locator("article.model:visible").count() == 3
        assert view.locator(".scores:visible").count() == 2


@needs_chromium
@in_browser
def test_hostile_names_stay_text(browser, runs, tmp_path) -> None:
    for name in HOSTILE.values():
        card = {"defense": name, "notes": name, "architecture": name, "recipe": {name: name}}
        finding = {"check": name, "level": "warn", "message": name}
        attack = runs.attack("pgd-20", steps=20) | {"caveats": [name], "tool_version": name, "method": name}
        runs.write(name, {"pgd-20": {0: E1}}, card=card, findings=[finding], attacks=[attack], classes=[name] * 43)
    path = tmp_path / "page.html"
    path.write_text(render(make_tables(collect([runs.folder]))), encoding="utf-8")
    with visit(browser, path) as view:
        assert view.page.title() == "Robustness leaderboard"
        assert view.page.locator("h1").count() == 1
        assert view.page.locator("img, iframe, textarea").count() == 0
        assert view.page.locator("body [onmouseover]").count() == 0
        assert view.page.evaluate("document.querySelectorAll('script').length") == 3
        content = view.page.content()
        assert "{{ 7 * 7 }}" in content
        assert "\\u202e" in content
        assert "\u202e" not in content
        assert "w" * 601 not in content
        for number in range(len(HOSTILE)):
            view.page.evaluate("n => { location.hash = '#m' + n }", number)
            view.drawn("article.model:not([hidden])")
        assert view.page.evaluate("[...document.querySelectorAll('a')].every(a => a.hash !== '')")


def test_the_same_tables_give_the_same_bytes(runs) -> None:
    write_board(runs)
    tables = make_tables(collect([runs.folder]))
    text = render(tables)
    assert text == render(make_tables(collect([runs.folder])))
    assert "http://" not in text.replace("http://www.w3.org/", "").split("</style>")[0]
    assert len(text.encode()) < 1_500_000


def test_no_runs_is_a_page_too() -> None:
    assert "No runs." in render([])


@needs_chromium
@in_browser
def test_a_screen_reader_gets_names_and_no_arrows(browser, page) -> None:
    with visit(browser, page) as view:
        tree = view.page.context.new_cdp_session(view.page).send("Accessibility.getFullAXTree")
        named: dict[str, list[str]] = {}
        for node in tree["nodes"]:
            if not node.get("ignored"):
                named.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
        for role in ("table", "region", "combobox", "checkbox", "button", "link", "heading", "graphics-document"):
            assert named[role], role
            assert all(named[role]), role
        assert {"rank", "model", "grade", "clean"} <= {name.partition(" ")[0] for name in named["columnheader"]}
        assert not [name for name in named["columnheader"] if set(name) & set("↕↑↓")]
