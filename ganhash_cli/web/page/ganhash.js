// The one script of the page: asks the server for neighbours and shows them. Names are set as text, never as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const PAUSE = 150; // milliseconds without a move before the slider asks
const none = { code: "", path: "", picture: "", name: "" }; // no query: what the page begins with
const state = { ...none, bits: 0, codes: "", offset: 0, total: 0, counts: [], complete: true };
let asking = null; // what is under way, so that a newer question ends it
let waiting = 0; // the slider's pause that has not ended; a newer question ends it as well
let blob = ""; // the address of the picture that was dropped
let examples = ""; // of which codes the images are that the page begins with

const number = (value) => value.toLocaleString("en");

async function ask(address, options = {}) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.hint ? `${body.error}; ${body.hint}` : body.error);
  return body;
}

const limited = () => Number($("distance").value) < Number($("distance").max);

function parameters(given) {
  const chosen = new URLSearchParams(given);
  if (limited()) chosen.set("max_distance", $("distance").value);
  if ($("label").value) chosen.set("label", $("label").value);
  return chosen;
}

// The address of a search: an image of the collection by its path, which stays its own when others join; else a code.
function address(query) {
  const chosen = parameters(query.path ? { image: query.path } : { code: query.code });
  return query.code ? `/?${chosen}` : "/";
}

// Writes the search that is shown into the address, as a step of its own or in the place of the last.
function remember(step) {
  const { code, path, picture, name } = state;
  history[step ? "pushState" : "replaceState"]({ code, path, picture, name }, "", address(state));
  document.title = name ? `${name} - ganhash` : "ganhash";
}

function limit(most) {
  $("distance").value = most === null ? $("distance").max : most;
}

function giveUp() {
  if (asking) asking.abort();
  asking = null;
  clearTimeout(waiting);
  waiting = 0;
  $("results").removeAttribute("aria-busy");
  fail("");
}

// Runs one question; an older one that is still under way is given up.
async function run(question, show) {
  giveUp();
  const mine = asking = new AbortController();
  $("results").setAttribute("aria-busy", "true");
  try {
    show(await question(mine.signal));
  } catch (error) {
    if (mine === asking) fail(error instanceof TypeError ? "The server does not answer; is it still running?" : error.message);
  } finally {
    if (mine === asking) {
      asking = null;
      $("results").removeAttribute("aria-busy");
    }
  }
}

async function searchFile(file) {
  if (!file) return;
  if (limits && file.size > limits.most_bytes) {
    return fail(`${file.name} has ${number(Math.ceil(file.size / 1e6))} MB; at most ${number(limits.most_bytes / 1e6)} MB can be sent`);
  }
  const picture = URL.createObjectURL(file);
  limit(null);
  $("status").textContent = "Searching …";
  // Sent as bytes of no form, whatever the system takes the file for.
  const options = { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } };
  await run((signal) => ask(`/api/query?${parameters({ offset: 0 })}`, { ...options, signal }), (found) => {
    if (blob) URL.revokeObjectURL(blob);
    blob = picture;
    start(found, { picture, path: "", name: file.name || "pasted image" }, true);
  });
  if (blob !== picture) {
    URL.revokeObjectURL(picture);
    if ($("error").textContent) $("status").textContent = "";
  }
}

const neighbours = (code, offset, signal) => ask(`/api/neighbours?${parameters({ code, offset })}`, { signal });

// An image of the collection as a query. One whose path is no text has none that an address could hold.
const queryOf = (image) => ({
  code: image.code, picture: image.thumbnail, name: image.name, path: image.path_b64 === undefined ? image.path : "",
});

function searchImage(image) {
  limit(null);
  return run((signal) => neighbours(image.code, 0, signal), (found) => {
    start(found, queryOf(image), true);
    $("results").focus({ preventScroll: true }); // what was clicked has gone
    window.scrollTo({ top: 0 });
  });
}

// Shows what the address asks for: a search, or what the page begins with. `kept` is what history remembers of it.
function restore(kept) {
  const wanted = new URLSearchParams(location.search);
  const [path, code, label, most] = ["image", "code", "label", "max_distance"].map((name) => wanted.get(name));
  if (label && !Array.from($("label").options).some((option) => option.value === label)) {
    $("label").add(new Option(label, label)); // which the server refuses, and says why
    $("label-field").hidden = false;
  }
  $("label").value = label || "";
  limit(/^[0-9]+$/.test(most || "") ? most : null);
  if (!path && !code) return begin();
  const known = kept && kept.code ? kept : { ...none, code, name: "an image that was sent" };
  return run(async (signal) => {
    const query = path ? queryOf((await ask(`/api/images?${new URLSearchParams({ path })}`, { signal })).images[0]) : known;
    return [await neighbours(query.code, 0, signal), query];
  }, ([found, query]) => start(found, query, false));
}

// Shows some images to start from, while there is no query.
function begin() {
  giveUp();
  Object.assign(state, none);
  showQuery();
  remember(false);
  replace({ bits: limits.bits, codes: "", counts: [], total: 0, complete: true, offset: 0, hits: [], note: limits.note });
  welcome();
  return run(async (signal) => {
    if (examples && !(await renewed(examples))) return null;
    return ask("/api/images", { signal });
  }, (found) => {
    welcome();
    if (!found) return;
    examples = found.codes;
    $("examples").replaceChildren(...found.images.map(card));
  });
}

function welcome() {
  $("status").textContent = limits.images
    ? "Click an image to find those most like it; or drop, paste or choose one of your own."
    : "There are no images here yet: encode a folder that has some.";
}

// Shows a new query and the first of its neighbours.
function start(found, query, step) {
  Object.assign(state, query, { code: found.code });
  showQuery();
  replace(found);
  remember(step);
}

function showQuery() {
  const begun = Boolean(state.code);
  for (const name of ["limits", "results"]) $(name).hidden = !begun;
  $("examples").hidden = begun;
  $("found-title").textContent = begun ? "Nearest images" : "Start from an image of the collection";
  const image = $("query-image");
  image.alt = state.picture && `query: ${state.name}`;
  image.hidden = !state.picture;
  if (state.picture) image.src = state.picture;
  $("query-empty").hidden = Boolean(state.picture);
  $("query-name").textContent = state.name;
}

function replace(found) {
  $("results").replaceChildren();
  append(found);
}

function append(found) {
  Object.assign(state, {
    bits: found.bits, codes: found.codes, counts: found.counts, total: found.total, complete: found.complete,
    offset: found.offset + found.hits.length,
  });
  $("results").append(...found.hits.map(card));
  $("more").hidden = state.offset >= state.total || !found.hits.length;
  // Watched anew, since a button that stays in sight tells nothing.
  watcher.unobserve($("more"));
  watcher.observe($("more"));
  describe(found);
  note(found.note);
  if (limits && found.codes && found.codes !== limits.codes) about().catch((error) => fail(error.message));
}

function describe(found) {
  const shown = limited() ? `within ${$("distance").value} of ${found.bits} bits` : "in all";
  $("status").textContent = state.total
    ? `${number(state.offset)} shown of ${number(state.total)}${orMore()} ${shown}; ${number(found.searched)} searched in ${found.milliseconds} ms`
    : `no image ${limited() ? shown : "is there"}`;
  showDistance();
}

// An index in another program tells of no more than it was asked for.
function orMore() {
  return state.complete ? "" : " or more";
}

// How many lie within the distance is known from the counts, before anything is asked.
function showDistance() {
  const most = Number($("distance").value);
  const within = state.counts.slice(0, most + 1).reduce((sum, count) => sum + count, 0);
  const images = `${number(within)}${orMore()} ${within === 1 && state.complete ? "image" : "images"}`;
  $("distance-shown").textContent = limited() ? `${most} of ${state.bits}: ${images}` : `no limit: ${images}`;
  $("distance").setAttribute("aria-valuetext", limited() ? `${most} of ${state.bits} bits, ${images}` : `no limit, ${images}`);
}

function card(hit) {
  const item = $("hit").content.cloneNode(true).firstElementChild;
  const [search, compare, image] = [item.querySelector(".search"), item.querySelector(".compare"), item.querySelector("img")];
  image.src = hit.thumbnail;
  image.alt = hit.name;
  image.addEventListener("error", () => missing(hit, image, item.querySelector(".empty")), { once: true });
  const place = hit.rank ? `, number ${hit.rank}, distance ${hit.distance}` : "";
  search.setAttribute("aria-label", `search from ${hit.name}${place}`);
  search.href = address(queryOf(hit));
  search.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // another tab or window, as of any link
    event.preventDefault();
    searchImage(hit);
  });
  if (hit.rank) {
    compare.textContent = `${hit.distance}/${state.bits}`;
    compare.setAttribute("aria-label", `distance ${hit.distance} of ${state.bits}: compare bit by bit with ${hit.name}`);
    compare.addEventListener("click", () => showBits(hit));
  } else compare.remove(); // an image to start from
  item.querySelector(".label").textContent = hit.labels.join(", ");
  item.querySelector(".name").textContent = hit.name;
  return item;
}

// An image that cannot be shown: the server's answer says why. Where it only was busy, it is asked again.
async function missing(hit, image, empty) {
  const answer = await fetch(hit.thumbnail).catch(() => null);
  if (answer && answer.ok) {
    image.src = hit.thumbnail;
    return;
  }
  if (answer && answer.status === 429) {
    setTimeout(() => missing(hit, image, empty), 1000 * Number(answer.headers.get("Retry-After") || 1));
    return;
  }
  if (answer && answer.status === 409 && !state.code) return begin(); // other codes took their place
  const body = answer ? await answer.json().catch(() => null) : null;
  empty.textContent = body ? body.error : "the server does not answer";
  image.hidden = true;
  empty.hidden = false;
}

function more() {
  if (asking || waiting || $("more").hidden) return;
  const before = state.codes;
  return run((signal) => neighbours(state.code, state.offset, signal), (found) => {
    if (found.codes === before) return append(found);
    // Other codes took their place: what is shown is numbered by the old ones.
    return refresh();
  });
}

const watcher = new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) more();
}, { rootMargin: "400px" });

function refresh() {
  if (!state.code) return;
  remember(false);
  return run((signal) => neighbours(state.code, 0, signal), replace);
}

const bitsOf = (hex) => Array.from(hex, (digit) => parseInt(digit, 16).toString(2).padStart(4, "0")).join("").slice(0, state.bits);

function showBits(hit) {
  const [query, other] = [bitsOf(state.code), bitsOf(hit.code)];
  const places = Array.from(query).flatMap((bit, place) => (bit === other[place] ? [] : [place + 1]));
  $("bits-summary").textContent = places.length
    ? `${places.length} of ${state.bits} bits differ: ${places.join(", ")}`
    : `all ${state.bits} bits are equal`;
  $("bits-query-image").hidden = !state.picture;
  if (state.picture) $("bits-query-image").src = state.picture;
  $("bits-hit-image").src = hit.thumbnail;
  $("bits-hit-name").textContent = hit.name;
  const bytes = [];
  for (let first = 0; first < state.bits; first += 8) bytes.push(byte(query, other, first));
  $("bits-rows").replaceChildren(...bytes);
  $("bits").showModal();
}

// Eight bits of the query above those of the result.
function byte(query, other, first) {
  const box = document.createElement("div");
  box.className = "byte";
  const place = document.createElement("span");
  place.className = "place";
  place.textContent = `${first + 1}–${Math.min(first + 8, state.bits)}`;
  const cells = [query, other].flatMap((code) => {
    const row = Array.from(code.slice(first, first + 8), (bit, index) => {
      const cell = document.createElement("span");
      cell.textContent = bit;
      if (query[first + index] !== other[first + index]) cell.className = "differs";
      return cell;
    });
    while (row.length < 8) row.push(document.createElement("span"));
    return row;
  });
  box.append(place, ...cells);
  return box;
}

function fail(text) {
  $("error").textContent = text;
  $("error").hidden = !text;
}

function note(text) {
  if ($("note").textContent !== text) $("note").textContent = text;
  $("note").hidden = !text;
}

let limits = null;
async function about() {
  limits = await ask("/api/about");
  $("about").textContent = `${number(limits.images)} ${limits.images === 1 ? "image" : "images"}, codes of ${limits.bits} bits`;
  note(limits.note);
  $("distance").max = limits.bits;
  const chosen = $("label").value;
  const labels = chosen && !limits.labels.includes(chosen) ? [...limits.labels, chosen] : limits.labels;
  $("label").replaceChildren(new Option("all", ""), ...labels.map((label) => new Option(label, label)));
  $("label").value = chosen;
  $("label-field").hidden = !labels.length;
}

// Asks again what is searched, and tells whether that is not the given codes any more.
async function renewed(codes) {
  await about();
  return limits.codes !== codes;
}

function listen() {
  $("file").addEventListener("change", (event) => {
    searchFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) $("drop").classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    if (event.dataTransfer.files.length) searchFile(event.dataTransfer.files[0]);
    else fail("What was dropped is no file; save the image first, then drop it here");
  });
  document.addEventListener("paste", (event) => {
    const file = Array.from(event.clipboardData.files)[0];
    if (file) searchFile(file);
  });
  $("distance").addEventListener("input", () => {
    showDistance();
    clearTimeout(waiting);
    waiting = setTimeout(refresh, PAUSE);
  });
  $("label").addEventListener("change", refresh);
  $("limits").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", more);
  $("query-image").addEventListener("error", () => {
    $("query-image").hidden = true;
    $("query-empty").hidden = false;
  });
  window.addEventListener("popstate", (event) => {
    if (limits && (event.state || !location.hash)) restore(event.state); // not where only the link to the results was followed
  });
}

listen();
about().then(() => {
  const kept = history.state;
  if (kept && kept.picture.startsWith("blob:")) kept.picture = ""; // it went with the page of before
  if (!state.code && !asking) restore(kept);
}, (error) => fail(error.message));
