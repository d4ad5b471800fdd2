// The page of `sedge serve`. It asks the same HTTP interfaces as any client.
//
// Everything from outside (labels, file names, messages) goes through `textContent`; the page's
// security policy forbids the rest. Styles are set through the object model for the same reason.
'use strict';

const WHOLE = 'application/vnd.sedge.prediction+json; explain=true';
const STAGES = ['queue', 'decode', 'preprocess', 'inference', 'postprocess'];
const MOST_ROWS = 32;

const at = (id) => document.getElementById(id);

/** An element with properties and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Microseconds for people, as the server writes them. */
function micros(value) {
  if (value === null || value === undefined) return '–';
  if (value < 1000) return `${value} µs`;
  const [scaled, unit] = value < 1e6 ? [value / 1e3, 'ms'] : [value / 1e6, 's'];
  return `${scaled.toFixed(scaled >= 100 ? 0 : scaled < 10 ? 2 : 1)} ${unit}`;
}

const words = (text) => text.charAt(0).toUpperCase() + text.slice(1).replaceAll('-', ' ');
const score = (value) => value.toFixed(2);
const named = (found) => found.label ?? `class ${found.index}`;
const plural = (count, one, many = `${one}s`) => `${count} ${count === 1 ? one : many}`;

/** "2 dogs, 1 cat" is not English for every label, so: "dog ×2, cat". */
function tally(found) {
  const counts = new Map();
  for (const one of found) counts.set(named(one), (counts.get(named(one)) ?? 0) + 1);
  return [...counts].map(([label, count]) => (count > 1 ? `${label} ×${count}` : label)).join(', ');
}

// ---- Asking ----

const service = at('service');
let picture = null; // { blob, name, url }
let shown = null; // the answer on the page
let asking = null; // the request under way

function choose(blob, name) {
  if (picture) URL.revokeObjectURL(picture.url);
  picture = { blob, name, url: URL.createObjectURL(blob) };
  at('picture').src = picture.url;
  at('caption').textContent = name;
  at('figure').hidden = false;
  at('drop').hidden = true;
  at('work').classList.add('asked');
  writeCommand();
  ask();
}

async function ask() {
  asking?.abort();
  clear();
  const missing = service.selectedOptions[0]?.dataset.missing;
  if (missing) return fail('This service takes tensors only', missing);
  if (!picture) return;
  asking = new AbortController();
  const { signal } = asking;
  at('answer').setAttribute('aria-busy', 'true');
  at('spoken').textContent = `Asking ${service.value}`;
  try {
    const response = await fetch(`endpoints/${service.value}/invocations`, {
      method: 'POST',
      headers: { 'Content-Type': contentType(), Accept: WHOLE },
      body: picture.blob,
      signal,
    });
    const body = await response.json();
    // An answer to a question that was taken back.
    if (signal.aborted) return;
    if (response.ok) show(body);
    else fail('There is no answer', body.OriginalMessage ?? body.Message ?? `Status ${response.status}`);
  } catch (error) {
    if (!signal.aborted) fail('The server did not answer', `${error.message}. Hint: is it still running?`);
  }
}

/** The bytes tell the server what the picture is; the type only has to be one it takes. */
function contentType() {
  const type = picture?.blob.type;
  return type === 'image/png' || type === 'image/jpeg' ? type : 'application/octet-stream';
}

function clear() {
  shown = null;
  for (const id of ['before', 'failure', 'result', 'explained', 'whole']) at(id).hidden = true;
  at('before').hidden = picture !== null;
  at('boxes').replaceChildren();
  at('answer').removeAttribute('aria-busy');
}

/** An error in the server's words, with what it says to do on a line of its own. */
function fail(title, message) {
  clear();
  at('before').hidden = true;
  const [text, hint] = message.split(/\s+Hint: /);
  const parts = [make('h2', {}, title), make('p', {}, text)];
  if (hint) parts.push(make('p', { className: 'hint' }, make('strong', {}, 'Hint: '), hint));
  at('failure').replaceChildren(...parts);
  at('failure').hidden = false;
}

// ---- The answer ----

function show(answer) {
  clear();
  shown = answer;
  const settings = new Map((answer.explain?.settings ?? []).map((one) => [one.key, one.value]));
  const slider = at('threshold');
  at('threshold-row').hidden = !answer.objects;
  slider.min = Number(settings.get('decoder.score_threshold') ?? 0);
  slider.value = slider.min;
  findings();
  timings(answer.timings_us);
  explain(answer.explain);
  at('json').textContent = JSON.stringify(answer, null, 2);
  for (const id of ['result', 'explained', 'whole']) at(id).hidden = false;
  at('explained').hidden = !answer.explain;
  at('spoken').textContent = `${answer.service}: ${at('headline').textContent}`;
}

function findings() {
  const least = Number(at('threshold').value);
  const all = shown.objects ?? shown.classes ?? [];
  const found = shown.objects ? all.filter((one) => one.score >= least) : all;
  at('threshold-value').textContent = score(least);
  at('findings').replaceChildren(...found.map(finding));
  // The best last, so that it lies on top.
  at('boxes').replaceChildren(...(shown.objects ? found.map(box).reverse() : []));
  spread();
  const left = all.length - found.length;
  at('hidden-count').hidden = left === 0;
  at('hidden-count').textContent = `${plural(left, 'object')} below ${score(least)} not shown`;
  at('subline').textContent = `${words(shown.task)} by ${shown.model}`;
  if (shown.objects) at('headline').textContent = found.length ? tally(found) : 'Nothing found';
  else if (shown.classes) at('headline').textContent = all.length ? named(all[0]) : 'No class';
  else at('headline').textContent = 'Numbers without a known meaning';
}

function finding(one, index) {
  const fill = make('span', { className: 'fill' });
  fill.style.width = `${Math.max(0, Math.min(1, one.score)) * 100}%`;
  const item = make(
    'li',
    {},
    make('span', { className: 'label' }, named(one)),
    make('span', { className: 'score' }, score(one.score)),
    make('span', { className: 'track' }, fill),
  );
  const mark = (on) => {
    const boxes = at('boxes').children;
    boxes[boxes.length - 1 - index]?.classList.toggle('marked', on);
  };
  item.addEventListener('pointerenter', () => mark(true));
  item.addEventListener('pointerleave', () => mark(false));
  return item;
}

/** A box in parts of the upright picture, which is how the browser shows it. */
function box({ box_normalized: { xmin, ymin, xmax, ymax }, ...one }) {
  const label = make('span', {}, `${named(one)} ${score(one.score)}`);
  const element = make('div', { className: 'box' }, label);
  const percent = (part) => `${part * 100}%`;
  Object.assign(element.style, {
    left: percent(xmin),
    top: percent(ymin),
    width: percent(xmax - xmin),
    height: percent(ymax - ymin),
  });
  return element;
}

const PLACES = ['', 'right', 'inside', 'inside right', 'below', 'below right'];

/** Puts each label where it is inside the picture and covers no other, the best found first. */
function spread() {
  const frame = at('boxes').getBoundingClientRect();
  const taken = [];
  const free = (one) =>
    one.top >= frame.top - 1 &&
    one.bottom <= frame.bottom + 1 &&
    one.left >= frame.left - 3 &&
    one.right <= frame.right + 3 &&
    !taken.some((other) =>
      one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom);
  for (const { firstChild: label } of [...at('boxes').children].reverse()) {
    const place = (where) => {
      label.className = where;
      return free(label.getBoundingClientRect());
    };
    if (!PLACES.some(place)) place('inside');
    taken.push(label.getBoundingClientRect());
  }
}

function timings(times) {
  at('total').textContent = micros(times.total);
  at('bar').replaceChildren(
    ...STAGES.map((stage) => {
      const part = make('span', { className: stage });
      part.style.flexGrow = times[stage];
      return part;
    }),
  );
  at('legend').replaceChildren(
    ...STAGES.map((stage) =>
      make('div', {}, make('dt', { className: stage }, words(stage)), make('dd', {}, micros(times[stage]))),
    ),
  );
}

function explain(explanation) {
  if (!explanation) return;
  at('steps').replaceChildren(...explanation.steps.map((step) => make('li', {}, step)));
  const value = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  const cell = (text) => make('td', {}, text);
  at('settings').replaceChildren(
    ...explanation.settings.map((one) =>
      make('tr', {}, make('td', {}, make('code', {}, one.key)), cell(value(one.value)), cell(one.origin)),
    ),
  );
}

// ---- The same from a program ----

const shell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
const python = (text) => JSON.stringify(text);

const programs = {
  curl: (url, type, file) =>
    `curl -H ${shell(`Content-Type: ${type}`)} \\\n  -H ${shell(`Accept: ${WHOLE}`)} \\\n` +
    `  --data-binary ${shell(`@${file}`)} \\\n  ${shell(url)}`,
  python: (url, type, file) =>
    'import json\nimport urllib.request\n\n' +
    `with open(${python(file)}, "rb") as picture:\n    body = picture.read()\n` +
    `headers = {"Content-Type": ${python(type)}, "Accept": ${python(WHOLE)}}\n` +
    `request = urllib.request.Request(${python(url)}, body, headers)\n` +
    'with urllib.request.urlopen(request) as response:\n    print(json.dumps(json.load(response), indent=2))',
  boto3: (url, type, file) =>
    'import boto3\n\n' +
    `client = boto3.client("sagemaker-runtime", endpoint_url=${python(new URL('.', location.href).href)},\n` +
    '                      region_name="local", aws_access_key_id="-", aws_secret_access_key="-")\n' +
    `with open(${python(file)}, "rb") as picture:\n` +
    `    answer = client.invoke_endpoint(EndpointName=${python(service.value)}, ContentType=${python(type)},\n` +
    `                                    Accept=${python(WHOLE)}, Body=picture.read())\n` +
    'print(answer["Body"].read().decode())',
};

function writeCommand() {
  const chosen = at('tabs').querySelector('[aria-pressed=true]').dataset.program;
  const url = new URL(`endpoints/${service.value}/invocations`, location.href).href;
  const type = picture ? contentType() : 'image/jpeg';
  at('command').textContent = programs[chosen](url, type, picture?.name ?? 'picture.jpg');
}

async function copy() {
  const text = at('command').textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers have a clipboard for scripts only on https and localhost.
    getSelection().selectAllChildren(at('command'));
    document.execCommand('copy');
  }
  at('copy').textContent = 'Copied';
  setTimeout(() => (at('copy').textContent = 'Copy'), 1500);
}

// ---- What the server does ----

let source = null;
let retry = 0;
let refreshing = 0;

/** Listens while somebody looks: a hidden page holds no connection. */
function listen() {
  clearTimeout(retry);
  source?.close();
  source = null;
  if (document.hidden) return;
  source = new EventSource('api/v1/events');
  source.onopen = () => {
    // The server tells its last answers again, so what is here would be there twice.
    at('feed').replaceChildren();
    at('feed-empty').hidden = false;
    link('on', 'Live');
    refresh();
  };
  source.onmessage = (event) => {
    row(answered(JSON.parse(event.data)));
    refresh();
  };
  source.addEventListener('missed', (event) => {
    const count = plural(JSON.parse(event.data).missed, 'answer');
    row(make('li', { className: 'gap' }, `${count} came too fast to be listed`));
  });
  source.onerror = () => {
    link('off', 'Connection lost, trying again');
    if (source?.readyState === EventSource.CLOSED) retry = setTimeout(listen, 5000);
  };
}

function link(state, text) {
  at('link').dataset.state = state;
  at('link').textContent = text;
}

function row(item) {
  at('feed-empty').hidden = true;
  at('feed').prepend(item);
  while (at('feed').children.length > MOST_ROWS) at('feed').lastElementChild.remove();
}

function answered(event) {
  const found = event.prediction?.objects ?? event.prediction?.classes;
  let text = event.error ?? words(event.outcome);
  if (event.outcome === 'ok') {
    if (event.prediction?.objects) text = found.length ? tally(found) : 'Nothing found';
    else if (found?.length) text = `${named(found[0])} ${score(found[0].score)}`;
    else text = 'Tensors';
  }
  const time = new Date(event.unix_ms);
  const [kind, took] = {
    ok: ['ok', micros(event.timings_us.total)],
    cancelled: ['cancelled', 'given up'],
  }[event.outcome] ?? ['bad', 'error'];
  const item = make(
    'li',
    { className: kind, title: event.trace_id ? `Trace ${event.trace_id}` : '' },
    make('time', { dateTime: time.toISOString() }, time.toLocaleTimeString()),
    make('span', { className: 'who' }, event.service),
    make('span', { className: 'took' }, took),
    make('span', { className: 'what' }, text),
  );
  // What somebody will look for in the log.
  if (kind === 'bad' && event.trace_id) item.append(make('span', { className: 'trace' }, event.trace_id));
  return item;
}

/** Shows anew what leaves the device, every few seconds while somebody looks. */
async function leave() {
  try {
    const response = document.hidden ? null : await fetch('api/v1/egress');
    if (response?.ok) left(await response.json());
  } catch {
    // The events' connection tells that the server is away.
  }
  setTimeout(leave, 3000);
}

function left({ bytes, lanes, broker, buckets }) {
  const waits = buckets.find((bucket) => bucket.problem);
  const problem = broker?.problem
    ?? (waits ? `Samples for ${waits.bucket} wait: ${waits.problem}` : '');
  at('leaving-problem').textContent = problem;
  at('leaving-problem').hidden = !problem;
  at('leaving-bytes').textContent = bytes < 1024 ? `${bytes} bytes`
    : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${Math.floor(bytes / (1 << 20))} MiB`;
  if (broker) {
    const count = broker.latency_counts.reduce((sum, one) => sum + one, 0);
    at('broker').dataset.state = broker.connected ? 'on' : 'off';
    at('leaving-sent').textContent = broker.delivered;
    at('leaving-received').textContent = broker.received;
    at('leaving-latency').textContent = count ? micros(Math.round(1e6 * broker.latency_sum_s / count)) : '–';
  }
  at('lanes').replaceChildren(...lanes.map((lane) => {
    const dropped = lane.refused + lane.dropped_by_size + lane.dropped_by_age + lane.lost;
    const cells = [lane.records, ago(lane.oldest_s), lane.delivered, dropped];
    const name = make('th', { scope: 'row' }, lane.destination);
    return make('tr', {}, name, ...cells.map((text) => make('td', {}, `${text}`)));
  }));
}

function ago(seconds) {
  if (seconds === null) return '–';
  const [size, unit] = seconds < 120 ? [1, 's'] : seconds < 7200 ? [60, 'min']
    : seconds < 172800 ? [3600, 'h'] : [86400, 'days'];
  return `${Math.round(seconds / size)} ${unit}`;
}

/** Fills the services' numbers in, at most once a second. */
function refresh() {
  refreshing ||= setTimeout(async () => {
    try {
      const response = await fetch('api/v1/services');
      if (response.ok) fill((await response.json()).services);
    } catch {
      // The events' connection tells that the server is away.
    }
    refreshing = 0;
  }, refresh.began ? 1000 : 0);
  refresh.began = true;
}

function fill(services) {
  const cards = [...document.querySelectorAll('[data-service]')];
  const known = services.map((one) => `${one.name} ${one.model}`).join();
  const shown = cards.map((card) => `${card.dataset.service} ${card.dataset.model}`).join();
  at('changed').hidden = shown === known;
  for (const card of cards) {
    const status = services.find((one) => one.name === card.dataset.service);
    if (!status) continue;
    for (const place of card.querySelectorAll('[data-key]')) {
      const value = place.dataset.key.split('.').reduce((inner, key) => inner?.[key], status);
      place.textContent = place.dataset.unit ? micros(value) : value;
    }
    card.dataset.state = status.state;
  }
}

// ---- Wiring ----

function wire() {
  if (document.getElementById('leaving')) leave();
  service.addEventListener('change', () => {
    writeCommand();
    ask();
  });
  at('file').addEventListener('change', (event) => {
    const [file] = event.target.files;
    if (file) choose(file, file.name);
    // The same file again is a new question.
    event.target.value = '';
  });
  for (const button of at('samples').querySelectorAll('button')) {
    button.addEventListener('click', async () => {
      const response = await fetch(`page/samples/${button.dataset.sample}`);
      choose(await response.blob(), button.dataset.sample);
    });
  }
  const files = (transfer) => [...(transfer?.files ?? [])];
  for (const type of ['dragenter', 'dragover']) {
    addEventListener(type, (event) => {
      event.preventDefault();
      at('stage').classList.add('over');
    });
  }
  addEventListener('dragleave', (event) => event.relatedTarget ?? at('stage').classList.remove('over'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    at('stage').classList.remove('over');
    const [file] = files(event.dataTransfer);
    if (file) choose(file, file.name);
  });
  addEventListener('paste', (event) => {
    const [file] = files(event.clipboardData);
    if (file) choose(file, file.name);
  });
  at('picture').addEventListener('load', () => {
    const { naturalWidth: width, naturalHeight: height } = at('picture');
    at('canvas').style.setProperty('--ratio', width / height);
    at('canvas').style.setProperty('--width', `${width}px`);
    at('canvas').classList.toggle('tiny', Math.max(width, height) < 200);
    at('caption').textContent = `${picture.name}, ${width} × ${height}`;
  });
  new ResizeObserver(spread).observe(at('boxes'));
  at('threshold').addEventListener('input', findings);
  for (const button of at('tabs').querySelectorAll('[data-program]')) {
    button.addEventListener('click', () => {
      for (const other of at('tabs').querySelectorAll('[data-program]')) {
        other.setAttribute('aria-pressed', other === button);
      }
      writeCommand();
    });
  }
  at('copy').addEventListener('click', copy);
  for (const jump of document.querySelectorAll('[data-try]')) {
    jump.addEventListener('click', () => {
      service.value = jump.dataset.try;
      service.dispatchEvent(new Event('change'));
    });
  }
  document.addEventListener('visibilitychange', listen);
  at('tabs').hidden = false;
  // Also what the browser kept of an earlier visit: a chosen service.
  writeCommand();
  listen();
}

// The page of a server without services has nothing to wire.
if (service) wire();
