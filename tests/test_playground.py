"""The playground, in a browser as people have it; and the examples that it shares with the documentation."""

import json
import shutil
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

EXAMPLES = sorted((Path(__file__).parents[1] / "openapi" / "examples").glob("*.json"))
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WAIT_S = 20
FRENCH = "Vous auriez dû lire les conditions. Merci de retirer cette photo de la page."
THREAT = "You should have read the terms. Take it down or we will ban you from the page."

in_a_browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="NOT TESTED: the playground needs chromium and chromedriver"
)


# --- without a browser -------------------------------------------------------------------------


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_answered_as_written(post, path):
    example = json.loads(path.read_bytes())
    status, report = post(example["request"])
    assert status == 200
    answer = example["answer"]
    assert report["language"]["tag"] == path.stem[:2]
    assert report["verdict"]["action"] == answer["verdict"]
    assert [[h["quote"], h["message"]] for h in report["hints"]] == answer["hints"]
    assert {name: s["value"] for name, s in report["scores"].items()} == pytest.approx(answer["scores"], abs=0.02)


def test_there_are_six_examples_in_each_language():
    assert [path.stem[:2] for path in EXAMPLES] == ["ar"] * 6 + ["en"] * 6 + ["he"] * 6


def test_the_page_may_load_nothing_but_its_own_files(client):
    page = client.get("/")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    for path in ("/playground/app.js", "/playground/style.css"):
        assert path in page.get_data(as_text=True)
        assert client.get(path).status_code == 200
    assert "//" not in page.get_data(as_text=True), "a link to elsewhere"


# --- in a browser ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1300,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(browser, address):
    """Open the playground in a language and wait for its examples."""

    def load(tag: str):
        browser.get(f"{address}/?lang={tag}")
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#examples button"))
        return browser

    return load


def until(browser, condition):
    # A report that comes in replaces what is shown.
    return WebDriverWait(browser, WAIT_S, ignored_exceptions=[StaleElementReferenceException]).until(
        lambda _: condition()
    )


def find(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def value(browser, score):
    return float(find(browser, f"#score-{score} [role=meter]").get_attribute("aria-valuenow"))


def type_draft(browser, text):
    find(browser, "#draft").send_keys(text)
    until(browser, lambda: find(browser, "#marked").get_property("textContent").replace("+", "") == text)


def choose(browser, number):
    """Choose the nth example of the page's language and wait until it is read."""
    browser.find_elements(By.CSS_SELECTOR, "#examples button")[number].click()
    text = find(browser, "#draft").get_property("value")
    until(browser, lambda: find(browser, "#marked").get_property("textContent").replace("+", "") == text)


@in_a_browser
def test_a_typed_draft_is_scored_and_told_to_a_screen_reader(open_page):
    browser = open_page("en")
    type_draft(browser, THREAT)
    assert find(browser, "#action").text == "Hold"
    assert value(browser, "defensiveness") > 0.5
    assert len(browser.find_elements(By.CSS_SELECTOR, "#dimensions [role=meter]")) == 5
    assert find(browser, "#said").get_attribute("role") == "status"
    assert find(browser, "#said").get_property("textContent").startswith("Hold. Tone ")
    assert THREAT in find(browser, "#curl-text").get_property("textContent")


@in_a_browser
@pytest.mark.parametrize("tag", ["en", "ar", "he"])
def test_a_hint_is_applied_the_move_shown_and_taken_back(open_page, tag):
    browser = open_page(tag)
    choose(browser, 2)
    draft, was = find(browser, "#draft").get_property("value"), value(browser, "defensiveness")
    find(browser, ".hint button.apply").click()
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".moved"))
    assert find(browser, "#draft").get_property("value") != draft
    assert value(browser, "defensiveness") <= was
    find(browser, "#undo").click()
    until(browser, lambda: value(browser, "defensiveness") == was)
    assert find(browser, "#draft").get_property("value") == draft


@in_a_browser
def test_there_is_nothing_to_undo_in_another_draft(open_page):
    browser = open_page("en")
    choose(browser, 2)
    find(browser, ".hint button.apply").click()
    until(browser, lambda: find(browser, "#undo").is_displayed())
    find(browser, "#draft").send_keys("!")
    assert not find(browser, "#undo").is_displayed()
    draft = find(browser, "#draft").get_property("value")
    browser.execute_script("document.getElementById('undo').click()")
    assert find(browser, "#draft").get_property("value") == draft


@in_a_browser
def test_what_is_typed_while_a_hint_is_applied_is_kept(open_page):
    browser = open_page("en")
    choose(browser, 2)
    draft = find(browser, "#draft").get_property("value")
    # Typed once the service has answered, and before the page has read its answer.
    browser.execute_script("""
        const draft = document.getElementById('draft'), ask = window.fetch
        window.fetch = async (path, ...rest) => {
            const response = await ask(path, ...rest)
            if (path === '/v1/rewrite') {
                draft.value += ' And more.'
                draft.dispatchEvent(new Event('input', { bubbles: true }))
            }
            return response
        }""")
    find(browser, ".hint button.apply").click()
    typed = f"{draft} And more."
    until(browser, lambda: find(browser, "#marked").get_property("textContent").replace("+", "") == typed)
    assert find(browser, "#draft").get_property("value") == typed
    assert not find(browser, "#undo").is_displayed()


@in_a_browser
@pytest.mark.parametrize(
    "tag, told",
    [
        ("en", "It could not be judged: this language is not supported."),
        ("ar", "تعذر تقييمها: هذه اللغة غير مدعومة."),
        ("he", "לא היה אפשר להעריך: השפה הזאת לא נתמכת."),
    ],
)
def test_what_cannot_be_judged_is_not_said_to_be_fit(open_page, tag, told):
    browser = open_page(tag)
    type_draft(browser, FRENCH)
    assert find(browser, "#verdict").get_attribute("class") == "verdict unjudged"
    assert find(browser, "#verdict span").text == told
    assert find(browser, "#said").get_property("textContent") == told
    assert not find(browser, "#no-hints").is_displayed()


@in_a_browser
def test_a_language_that_the_page_lacks_leaves_it_readable(open_page):
    browser = open_page("constructor")
    assert find(browser, "#writing-title").text
    assert find(browser, "html").get_attribute("lang") != "constructor"


@in_a_browser
@pytest.mark.parametrize("tag, direction", [("en", "ltr"), ("ar", "rtl"), ("he", "rtl")])
def test_the_page_mirrors_with_its_language(open_page, tag, direction):
    browser = open_page("en")
    find(browser, f"#languages button[value={tag}]").click()
    root = find(browser, "html")
    assert (root.get_attribute("lang"), root.get_attribute("dir")) == (tag, direction)
    writing, reading = find(browser, ".writing").rect, find(browser, ".reading").rect
    assert (writing["x"] < reading["x"]) == (direction == "ltr")
    choose(browser, 0)
    assert find(browser, "#marked").value_of_css_property("direction") == direction
    for element in browser.find_elements(By.CSS_SELECTOR, "[data-say], [data-label]"):
        assert (element.get_property("textContent") + (element.get_attribute("aria-label") or "")).strip()
        assert "undefined" not in element.get_property("textContent")


@in_a_browser
def test_a_draft_keeps_its_direction_on_a_page_of_the_other(open_page):
    browser = open_page("he")
    type_draft(browser, "Sorry if you feel that way.")
    assert find(browser, "#draft").value_of_css_property("direction") == "ltr"
    assert find(browser, "#marked").value_of_css_property("direction") == "ltr"


@in_a_browser
def test_a_passage_leads_to_its_hint_by_keyboard(open_page):
    browser = open_page("en")
    choose(browser, 2)
    hinted = "[...document.querySelectorAll('.mark')].find(m => m.passages.some(p => p.hint && p.end > p.start))"
    passage = browser.execute_script(f"const found = {hinted}; found.focus(); return found")
    message = find(browser, "#note").text
    assert passage.get_attribute("aria-describedby") == "note"
    passage.send_keys(Keys.ENTER)
    card = browser.switch_to.active_element
    assert card.get_attribute("id").startswith("hint-h")
    assert message.splitlines()[0] in card.text


@in_a_browser
def test_only_a_passage_with_a_hint_is_a_button(open_page):
    browser = open_page("en")
    for number in range(6):
        choose(browser, number)
        roles = browser.execute_script(
            "return [...document.querySelectorAll('.mark')].map(m => [m.passages.some(p => p.hint), m.role])"
        )
        assert all(role == ("button" if is_hinted else "mark") for is_hinted, role in roles)


@in_a_browser
@pytest.mark.parametrize("tag", ["en", "ar", "he"])
def test_a_phone_needs_no_sideways_scrolling(open_page, tag):
    browser = open_page(tag)
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for number in range(6):
            choose(browser, number)
            assert browser.execute_script("return document.documentElement.scrollWidth") == 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@in_a_browser
def test_every_control_has_a_name(open_page):
    browser = open_page("en")
    choose(browser, 0)
    unnamed = """return [...document.querySelectorAll('button, input, select, textarea, [role=button], [role=meter]')]
        .filter(e => e.checkVisibility()).filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim()))
        .map(e => e.outerHTML)"""
    assert browser.execute_script(unnamed) == []


# Last, so that its log holds all that was asked for above.
@in_a_browser
def test_nothing_was_asked_of_anyone_else_and_no_fault_was_logged(browser, address):
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [e["params"]["request"]["url"] for e in sent if e["method"] == "Network.requestWillBeSent"]
    assert any(url.endswith("/v1/score") for url in urls)
    assert [url for url in urls if not url.startswith((address, "data:", "chrome:"))] == []
    assert [e for e in browser.get_log("browser") if "favicon" not in e["message"]] == []
