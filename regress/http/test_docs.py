"""
test_docs.py: the page at /docs and /redoc, in a headless Chromium: it lists
every endpoint, sends a job and shows its answer, asks nobody but takod, and
nothing is written to the console.
"""
import json

import pytest

from fakeparent import FakeParent
from lib.browser import Browser

POLICY = {"default-src": "'none'", "script-src": "'self'",
          "style-src": "'self'", "connect-src": "'self'", "img-src": "data:",
          "base-uri": "'none'", "form-action": "'none'",
          "frame-ancestors": "'none'", "require-trusted-types-for": "'script'"}
READY = "!!document.querySelector('.operation') && " \
    "!document.getElementById('state')"
# Opens an operation, sets what is typed by selector, sends it.
SEND = """(async (id, typed) => {
	const details = document.getElementById("op-" + id);
	details.open = true;
	await new Promise((done) => setTimeout(done, 100));
	const form = details.querySelector("form");
	for (const [selector, value] of Object.entries(typed))
		form.querySelector(selector).value = value;
	form.requestSubmit();
})(%s, %s)"""
SHOWN = """(() => {
	const place = document.querySelector("#op-%s .answer");
	const status = place && place.querySelector(".answer-status");
	const body = place && place.querySelector(".answer-body");
	return body && status ? [status.textContent, body.textContent,
		place.textContent] : null;
})()"""


@pytest.fixture(scope="module")
def browser():
    one = Browser()
    yield one
    one.close()


def filled(browser, takod):
    browser.open("http://%s:%d/docs" % (takod.host, takod.port))
    browser.wait("the page is filled", READY)
    return browser


@pytest.fixture
def page(browser, takod):
    yield filled(browser, takod)
    assert browser.complaints() == []
    assert {asked.split("/", 3)[2] for asked in browser.asked()
            if not asked.startswith("data:")} == {
                "%s:%d" % (takod.host, takod.port)}


def send(page, operation, **typed):
    """The status, the body, and all that is shown."""
    page.run(SEND % (json.dumps(operation), json.dumps(typed)))
    return page.wait("an answer is shown", SHOWN % operation)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_headers(takod, path):
    status, names, text = takod.get(path)
    assert status == 200 and names["content-type"].startswith("text/html")
    assert dict(part.strip().split(" ", 1) for part in
                names["content-security-policy"].split(";")) == POLICY
    assert names["x-content-type-options"] == "nosniff"
    assert names["referrer-policy"] == "no-referrer"
    assert "http:" not in text and "https:" not in text
    assert takod.get(path, headers={"If-None-Match": names["etag"]})[0] == 304


def test_lists_every_endpoint(page, takod):
    document = takod.get("/openapi.json")[2]
    wanted = {(method.upper(), path) for path, item in
              document["paths"].items() for method in item}
    shown = page.run(
        "[...document.querySelectorAll('.operation')].map((one) => "
        "[one.querySelector('.method').textContent,"
        " one.querySelector('.path').textContent])")
    assert {tuple(pair) for pair in shown} == wanted
    # Each can be opened, and has its fields, its answers and a form.
    page.run("for (const one of document.querySelectorAll('details')) "
             "one.open = true")
    page.wait("all is shown", "document.querySelectorAll('form').length === "
              "document.querySelectorAll('.operation').length")
    text = page.run("document.body.innerText")
    for name in ("idempotency_key", "exit_code", "stdout_truncated",
                 "If-None-Match", "Job queue is full"):
        assert name in text
    assert page.run("document.getElementById('key-part').hidden")
    # What is typed has a label, and a link leads to something.
    assert page.run("[...document.querySelectorAll('input, textarea')].every("
                    "(one) => one.labels.length === 1)")
    assert page.run("[...document.querySelectorAll('a[href^=\"#\"]')].every("
                    "(one) => document.getElementById("
                    "one.getAttribute('href').slice(1)))")


def test_sends_a_job(page):
    status, body, text = send(page, "execute", textarea=json.dumps(
        {"code": "print('a\"b', 6 * 7, '<b>')",
         "input_data": {"n": 10 ** 30}}))
    answer = json.loads(body)
    assert status.startswith("200")
    assert answer["stdout"] == 'a"b 42 <b>\n' and answer["success"] is True
    assert "x-correlation-id" in text and "\n  \"stdout\"" in body
    # As it is offered, it can be sent; and a fault is shown too.
    status, body, _ = send(page, "executeAsync")
    assert status.startswith("200") and json.loads(body)["job_id"]
    page.run("document.querySelector('#op-execute .answer')"
             ".replaceChildren()")
    page.call("Log.disable")  # which counts an answer of 422 as an error
    status, body, _ = send(page, "execute", textarea='{"code": 5}')
    assert status.startswith("422") and "string_type" in body
    page.call("Log.enable")
    page.events[:] = [event for event in page.events
                      if event.get("method") != "Log.entryAdded"]


def test_sends_a_query(page, takod):
    job = takod.execute("print('asked')")["execution_id"]
    status, body, _ = send(page, "getExecution", **{
        "p:nth-of-type(2) input": job, "p:nth-of-type(3) input": "full"})
    assert status.startswith("200")
    assert json.loads(body)["takod"]["attempt"] == 1


def test_key(browser):
    """Where one is asked for it can be given, and goes by the right name."""
    front = FakeParent(keys=1, auth_header="X-Tako")
    try:
        page = filled(browser, front)
        assert page.run("!document.getElementById('key-part').hidden")
        page.run("document.getElementById('key').value = 'secret'")
        page.run(SEND % (json.dumps("poolStats"), "{}"))
        front.expect("REQ_STATS")
        assert page.complaints() == []
        sent = [p["request"]["headers"] for p in
                page.noted("Network.requestWillBeSent")
                if p["request"]["url"].endswith("/pool/stats")]
        assert [{k.lower(): v for k, v in one.items()}["x-tako"]
                for one in sent] == ["secret"]
        page.open("about:blank")
        page.wait("the page is gone", "location.href === 'about:blank'")
        page.complaints()
    finally:
        front.close()


def test_narrow_and_dark(page):
    page.run("for (const one of document.querySelectorAll('details')) "
             "one.open = true")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.call("Emulation.setDeviceMetricsOverride", width=360, height=740,
              deviceScaleFactor=2, mobile=True)
    page.call("Emulation.setEmulatedMedia", features=[
        {"name": "prefers-color-scheme", "value": "dark"}])
    try:
        assert page.run("document.documentElement.scrollWidth") <= 360
        assert page.run(colour) != light
    finally:
        page.call("Emulation.clearDeviceMetricsOverride")
        page.call("Emulation.setEmulatedMedia", features=[])


def test_policy_holds(browser, takod):
    """No other host can be asked, and no script be slipped in."""
    page = filled(browser, takod)
    assert page.run(
        "fetch('http://127.0.0.2:%d/').then(() => 1, () => 0)"
        % takod.port) == 0
    assert page.run(
        "new Promise((done) => { const one = document.createElement('img');"
        "one.onload = () => done(1); one.onerror = () => done(0);"
        "one.src = '/docs/page.css'; })") == 0
    assert page.run("(() => { try { document.body.innerHTML = '<b>';"
                    "return 1; } catch (e) { return 0; } })()") == 0
    assert any("Content Security Policy" in words
               for words in page.complaints())
