"""The page of `sedge serve` in a real browser."""

import http.client
import json
import shutil
import urllib.error
import urllib.request

import pytest

from browser import DESKTOP, PHONE, Page, start
from sedge import IMAGES, MODELS, Server, picture, serving, upright

CLASSIFIER, DETECTOR, RAW = "mobilenet-v2", "ssd-mobilenet-v1-coco", "raw-only"
WHOLE = "application/vnd.sedge.prediction+json"
HOSTILE = "<img src=x onerror=alert(1)>'\"$(id)`&amp;"

# Text against what is behind it, by WCAG 2.2's formula for contrast.
CONTRAST = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255, c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = parse(getComputedStyle(element).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const bad = [];
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const element = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || !element.checkVisibility() || element.closest('noscript, option')) continue;
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${walk.currentNode.data.trim()}`);
}
return bad;
"""

BOXES = """
const picture = document.getElementById('picture').getBoundingClientRect();
return [...document.querySelectorAll('.box')].map((box) => {
  const { left, top, right, bottom } = box.getBoundingClientRect();
  const across = (x) => (x - picture.left) / picture.width;
  const down = (y) => (y - picture.top) / picture.height;
  return [box.textContent, across(left), down(top), across(right), down(bottom), picture.width, picture.height];
});
"""


@pytest.fixture(scope="module")
def driver():
    driver = start()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A classifier, a detector, and a model about whose pictures nobody said anything."""
    bare = tmp_path_factory.mktemp("models") / f"{RAW}.onnx"
    shutil.copy(MODELS / "resnet8-onnx/model.onnx", bare)
    return [CLASSIFIER, DETECTOR, bare]


@pytest.fixture(scope="module")
def server(models):
    with serving(models) as server:
        yield server


@pytest.fixture
def page(driver, server):
    page = Page(driver, server)
    yield page
    # Errors that the server answered are in the console as failed requests, and nowhere else.
    bad = [line for line in page.logs() if "Failed to load resource" not in line]
    assert not bad, bad
    origins = [url for url in page.requests() if not url.startswith((server.url, f"blob:{server.url}"))]
    assert not origins, origins


def ask(server, service, body, headers=()):
    headers = {"Content-Type": "application/octet-stream", "Accept": WHOLE, **dict(headers)}
    url = f"{server.url}/endpoints/{service}/invocations"
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as response:
        return json.load(response)


def test_a_classifiers_answer_is_shown_as_it_was_given(page, server):
    page.choose(CLASSIFIER)
    shown = page.upload(IMAGES / "cat_720p.jpg")
    expected = ask(server, CLASSIFIER, picture("cat_720p.jpg"))["classes"]
    assert shown["classes"] == expected
    assert page.text("#headline") == expected[0]["label"]
    assert page.texts("#findings .label") == [one["label"] for one in expected]
    assert page.texts("#findings .score") == [f"{one['score']:.2f}" for one in expected]
    assert not page.all(".box") and not page.find("#threshold-row").is_displayed()
    assert page.text("#caption") == "cat_720p.jpg, 1280 × 720"
    assert "ms" in page.text("#total") and page.texts("#legend dt")[3] == "Inference"
    page.find("#explained summary").click()
    assert page.texts("#steps li") == shown["explain"]["steps"]
    row = next(text for text in page.texts("#settings tr") if text.startswith("input.resize"))
    assert "manifest" in row or "model.toml" in row, row


def test_boxes_lie_where_the_answer_says(page, server):
    page.choose(DETECTOR)
    for name in ["pets.jpg", "chelsea_exif6.jpg", "chelsea_exif3.jpg"]:
        page.upload(IMAGES / name)
        width, height = upright(name).size
        page.until(lambda: page.text("#caption") == f"{name}, {width} × {height}")
        expected = ask(server, DETECTOR, picture(name))["objects"]
        assert expected, name
        for size in [DESKTOP, PHONE]:
            page.size(*size)
            boxes = page.run(BOXES)
            assert len(boxes) == len(expected)
            for (label, *sides, across, down), one in zip(reversed(boxes), expected, strict=True):
                assert label == f"{one['label']} {one['score']:.2f}"
                assert abs(across / down - width / height) < 0.01
                box = one["box_normalized"]
                for side, key, pixels in zip(sides, ["xmin", "ymin", "xmax", "ymax"], [across, down] * 2):
                    assert abs(side - box[key]) * pixels < 1, (name, key)
        page.size(*DESKTOP)


def test_the_slider_hides_what_is_less_sure(page, server):
    page.choose(DETECTOR)
    objects = page.upload(IMAGES / "pets.jpg")["objects"]
    assert len(page.all(".box")) == len(objects) > 2
    page.run("const s = document.getElementById('threshold'); s.value = 0.5; s.dispatchEvent(new Event('input'))")
    sure = [one for one in objects if one["score"] >= 0.5]
    assert len(page.all(".box")) == len(page.all("#findings li")) == len(sure) < len(objects)
    assert page.text("#headline") == f"dog ×{len(sure)}"
    assert page.text("#hidden-count").startswith(f"{len(objects) - len(sure)} object")


def test_a_sample_is_one_click(page):
    page.choose(CLASSIFIER)
    assert page.sample("coffee.jpg")["classes"][0]["label"] == "espresso"
    page.choose(DETECTOR)
    page.until(lambda: page.all(".box"))
    assert "cup" in page.text("#headline")


def test_answers_to_other_clients_appear(page, server):
    def numbers(service):
        card = f'[data-service="{service}"]'
        return int(page.text(f'{card} [data-key="requests.ok"]'))

    before = numbers(CLASSIFIER)
    ask(server, CLASSIFIER, picture("chelsea.png"))
    page.until(lambda: "Egyptian cat" in page.text("#feed li .what"))
    assert page.text("#feed li .who") == CLASSIFIER
    page.until(lambda: numbers(CLASSIFIER) == before + 1)
    latency = page.find(f'[data-service="{CLASSIFIER}"] [data-key="latency_us.5.p50"]').text
    assert latency.endswith(" ms") or latency.endswith(" s"), latency


def test_errors_are_told_in_the_servers_words(page, server):
    page.choose(CLASSIFIER)
    assert page.upload(IMAGES / "malformed/truncated_half.jpg") is None
    body = picture("malformed/truncated_half.jpg")
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, CLASSIFIER, body)
    told = json.load(caught.value)["OriginalMessage"]
    assert page.text("#failure p") == told.split(" Hint: ")[0]
    page.until(lambda: page.text("#feed li .what") == told)
    assert page.upload(IMAGES / "chelsea.png")["classes"]


def test_a_model_for_tensors_says_what_is_missing(page, server):
    page.choose(RAW)
    assert "tensors only" in page.text("#failure h2")
    assert "Hint:" in page.text("#failure .hint")
    assert "Takes tensors only" in page.text(f'[data-service="{RAW}"] .notice')


def test_what_comes_from_outside_is_text(page, server, tmp_path):
    hostile = tmp_path / (HOSTILE.replace("/", "") + ".jpg")
    shutil.copy(IMAGES / "chelsea_upright.jpg", hostile)
    page.choose(CLASSIFIER)
    assert page.upload(hostile)["classes"]
    page.until(lambda: page.text("#caption").startswith(hostile.name))
    quoted = hostile.name.replace("'", "'\\''")
    assert f"'@{quoted}'" in page.text("#command")
    page.find('[data-program="python"]').click()
    source = page.text("#command")
    compile(source, "command", "exec")
    assert json.dumps(hostile.name, ensure_ascii=False) in source
    page.find('[data-program="curl"]').click()
    trace = "<b>trace</b>&lt;"
    with pytest.raises(urllib.error.HTTPError):
        ask(server, CLASSIFIER, b"no picture", {"x-request-id": trace})
    page.until(lambda: page.texts("#feed .trace")[:1] == [trace])
    assert not page.all("#feed b, #caption img, #command img")


def test_labels_from_a_model_are_text(driver, tmp_path):
    package = tmp_path / "hostile-labels"
    shutil.copytree(MODELS / "vww96-int8", package)
    (package / "labels.txt").write_text(f"{HOSTILE}\n<script>alert(2)</script>\n")
    with serving([package]) as server:
        page = Page(driver, server)
        labels = [one["label"] for one in page.upload(IMAGES / "astronaut.png")["classes"]]
        assert sorted(labels) == sorted([HOSTILE, "<script>alert(2)</script>"])
        assert page.texts("#findings .label") == labels
        page.until(lambda: labels[0] in page.text("#feed li .what"))
        assert not page.all("#answer img, #answer script, #feed img, #feed script")
        assert not page.logs()


def test_the_page_fits_and_can_be_read(page, server):
    page.choose(DETECTOR)
    page.sample("coffee.jpg")
    with pytest.raises(urllib.error.HTTPError):
        ask(server, CLASSIFIER, b"no picture")
    ask(server, CLASSIFIER, picture("chelsea.png"))
    page.until(lambda: "Egyptian cat" in page.text("#feed li .what"))
    for name, size in [("desktop", DESKTOP), ("phone", PHONE)]:
        for scheme in ["light", "dark"]:
            page.size(*size)
            page.scheme(scheme)
            assert page.overflow() <= 0, (name, scheme)
            assert page.run(CONTRAST) == [], (name, scheme)
            page.screenshot(f"{name}-{scheme}")
    for closed in page.all("details:not([open]) > summary"):
        page.run("arguments[0].parentElement.open = true", closed)
    assert page.overflow() <= 0
    unnamed = "return [...document.querySelectorAll('input, select, button, img')]" \
        ".filter((e) => !(e.labels?.length || e.textContent.trim() || e.querySelector('[alt]') || e.hasAttribute('alt')))" \
        ".map((e) => e.outerHTML)"
    assert page.run(unnamed) == []


def test_the_page_finds_a_server_that_came_back(driver, models):
    with serving(models) as server:
        page = Page(driver, server)
        page.choose(CLASSIFIER)
        page.sample("cat.jpg")
        server.terminate()
        # An open page does not hold up the end.
        assert server.wait(10) == 0
        page.until(lambda: "lost" in page.text("#link"))
        again = Server([MODELS / CLASSIFIER], listen=server.address)
        try:
            page.until(lambda: page.text("#link") == "Live", 30)
            page.until(lambda: page.find("#changed").is_displayed())
            ask(again, CLASSIFIER, picture("chelsea.png"))
            page.until(lambda: len(page.all("#feed li")) == 1)
        finally:
            again.terminate()
            again.wait()


def test_what_other_sites_get(server):
    def status(path, **headers):
        connection = http.client.HTTPConnection(server.address, timeout=10)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        assert response.headers["access-control-allow-origin"] is None
        return response.status

    for path in ["/", "/page/sedge.js", "/api/v1/services", "/api/v1/events"]:
        assert status(path, Host="evil.example") == 421
        assert status(path, Host="127.0.0.1", Sec_Fetch_Site="cross-site") == 403
    assert status("/ping", Host="evil.example") == 200


def test_the_page_can_be_left_out():
    with serving([CLASSIFIER], "--no-page") as server:
        for path in ["/", "/page/sedge.css", "/api/v1/services", "/api/v1/events"]:
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(server.url + path)
            assert caught.value.code == 404
        assert ask(server, CLASSIFIER, picture("chelsea.png"))["classes"]
