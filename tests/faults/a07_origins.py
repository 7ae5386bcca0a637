"""Pages of other sites, which would bring the user's cookies along: none gets a socket."""

from urllib.parse import urlsplit

from harness.client.raw import Raw, Refused
from harness.site import UNLIMITED
from tests.faults.fault import Figures, Ground, fault

EVIL = "evil.example"


def foreign(host: str, port: int) -> dict[str, dict[str, str]]:
    """Handshakes that a browser, or somebody who poses as one, may make; by what is wrong."""
    origins = {
        "another site": f"https://{EVIL}",
        "null": "null",
        "empty": "",
        "a suffix": f"http://{host}.{EVIL}:{port}",
        "a prefix": f"http://evil{host}:{port}",
        "another port": f"http://{host}:{port + 1}",
        "no port": f"http://{host}",
        "another scheme's port": f"https://{host}",
        "another scheme": f"ftp://{host}:{port}",
        "a browser's extension": f"chrome-extension://{host}:{port}",
        "no scheme": f"{host}:{port}",
        "a user before it": f"http://{EVIL}@{host}:{port}",
        "the host as a user": f"http://{host}:{port}@{EVIL}",
        "a path": f"http://{host}:{port}/",
        "two": f"http://{host}:{port} http://{EVIL}",
        "a port that is none": f"http://{host}:{port}a",
        "another name of ours": f"http://localhost:{port}",
    }
    handshakes = {name: {"Origin": origin} for name, origin in origins.items()}
    # DNS that points a foreign name at us: then Host and Origin agree, and are not ours.
    handshakes["a name that points here"] = {"Origin": f"http://{EVIL}", "Host": EVIL}
    return handshakes


@fault(
    "A7",
    "handshakes with forged, null, suffixed, malformed and foreign origins, and with none",
    must={"foreign let in": 0, "not refused with 4xx": 0, "own refused": 0, "none judged wrong": 0},
)
async def origins(ground: Ground) -> Figures:
    """None at all is no browser, and let in unless `REQUIRE_ORIGIN` is set."""
    let_in = odd = own = none = tried = 0
    for is_required in (False, True):
        settings = {**UNLIMITED, "REQUIRE_ORIGIN": is_required}
        [url] = ground.make_site(settings=settings).urls
        port = urlsplit(url).port or 0
        handshakes = foreign("127.0.0.1", port)
        answers = [await _answer(url, headers) for headers in handshakes.values()]
        tried += len(answers)
        let_in += answers.count(101)
        odd += sum(not 400 <= answer < 500 for answer in answers)
        own += await _answer(url, {"Origin": f"http://127.0.0.1:{port}"}) != 101
        none += (await _answer(url, {}) == 101) is is_required
    return {
        "foreign let in": let_in,
        "not refused with 4xx": odd,
        "own refused": own,
        "none judged wrong": none,
        "tried": tried,
    }


async def _answer(url: str, headers: dict[str, str]) -> int:
    """The status of the handshake's answer; 0 where there is none."""
    try:
        raw = await Raw.open(url, headers)
    except Refused as refused:
        return refused.status
    raw.drop()
    return 101
