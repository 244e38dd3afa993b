"""
test_cors.py: what web pages in a browser may ask: those of cors_origins all,
others nothing that changes something, and they are told nothing.
"""
import pytest

LISTED = "https://app.example"
OTHER = "https://evil.example"


@pytest.fixture(scope="module")
def daemon(shared_things):
    from conftest import end, make
    made = make("oci", "runc", config={
        "warm_pool_size": 0, "cors_origins": [LISTED, "http://one:3000"],
        "api_auth_enabled": True, "api_keys": ["0123456789abcdef-cors"]})
    yield made
    end(made)


KEY = {"X-API-Key": "0123456789abcdef-cors"}


def test_listed(daemon):
    status, names, _ = daemon.request("OPTIONS", "/execute", None, {
        "Origin": LISTED, "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-api-key"})
    # A browser asks this without the key.
    assert status == 204
    assert names["access-control-allow-origin"] == LISTED
    assert names["access-control-allow-methods"] == "POST"
    allowed = names["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "x-api-key", "authorization"} <= set(allowed)
    assert int(names["access-control-max-age"]) > 0
    assert names["vary"] == "Origin"
    assert "access-control-allow-credentials" not in names
    for headers, status in ((KEY, 200), ({}, 401)):
        got, names, _ = daemon.get("/pool/stats", headers={
            "Origin": LISTED, **headers})
        assert got == status
        assert names["access-control-allow-origin"] == LISTED
        exposed = names["access-control-expose-headers"]
        assert "X-Correlation-ID" in exposed and "Retry-After" in exposed
    status, names, answer = daemon.post(
        "/execute", {"code": "print(1)"}, headers={
            "Origin": "http://one:3000", **KEY})
    assert (status, answer["stdout"]) == (200, "1\n")
    assert names["access-control-allow-origin"] == "http://one:3000"


@pytest.mark.parametrize("origin", [
    OTHER, "null", "https://app.example:444", "http://app.example",
    "https://app.example.evil.example", "https://APP.example", "", "*"])
def test_others(daemon, origin):
    headers = {"Origin": origin, **KEY}
    # It may be asked as a link is, and the page is not told the answer.
    status, names, _ = daemon.get("/pool/stats", headers=headers)
    assert status == 200 and names["vary"] == "Origin"
    assert not [name for name in names if name.startswith("access-control")]
    status, names, answer = daemon.post("/execute", {"code": "1"},
                                        headers=headers)
    assert (status, answer["detail"]) == (
        403, "Pages of this origin may not ask")
    assert "access-control-allow-origin" not in names
    status, names, _ = daemon.request("OPTIONS", "/execute", None, {
        "Origin": origin, "Access-Control-Request-Method": "POST"})
    assert status == 401 or "access-control-allow-origin" not in names


def test_own_pages(daemon):
    name = "127.0.0.1:%d" % daemon.port
    assert daemon.post("/execute", {"code": "1"}, headers={
        "Origin": "http://" + name, **KEY})[0] == 200


def test_off_by_default(takod):
    """A page that somebody looks at starts, cancels and builds nothing."""
    for path, body, kind in (
            ("/execute", '{"code": "1"}', "text/plain"),
            ("/execute", '{"code": "1"}', "application/json"),
            ("/job-types/default/build", None, None),
            ("/jobs/00000000-0000-4000-8000-000000000000/cancel", None,
             None)):
        headers = {"Origin": OTHER}
        if kind:
            headers["Content-Type"] = kind
        assert takod.post(path, body, headers=headers)[0] == 403, path
        # The type alone keeps one out that sends no origin.
        if kind == "text/plain":
            assert takod.post(path, body, headers={
                "Content-Type": kind})[0] == 422
    names = takod.get("/health", headers={"Origin": OTHER})[1]
    assert "vary" not in names and "access-control-allow-origin" not in names


def test_all_pages(daemon):
    daemon.write_config(cors_origins=["*"])
    daemon.takoctl("reload", check=True)
    status, names, _ = daemon.post("/execute", {"code": "1"}, headers={
        "Origin": OTHER, **KEY})
    assert status == 200 and names["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in names
    daemon.write_config(cors_origins=[LISTED, "http://one:3000"])
    daemon.takoctl("reload", check=True)


def test_what_is_no_origin(daemon):
    for item in ("app.example", "https://", "https://app.example/",
                 "https://app.example:443", "http://a:80", "https://A.b",
                 "ftp://a"):
        daemon.write_config(cors_origins=[item])
        done = daemon.takoctl("reload")
        assert done.returncode == 78 and "cors_origins.0" in done.stderr
    daemon.write_config(cors_origins=[LISTED, "http://one:3000"])
