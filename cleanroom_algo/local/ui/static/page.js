"use strict";
// Keeps an open page up to date, and times relative to now. Everything else works without this file.

const SECOND = 1000;
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat("en", {numeric: "auto"});

function showTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    const seconds = Math.round((when - Date.now()) / SECOND);
    const [unit, size] = STEPS.find(([, size]) => Math.abs(seconds) >= size) || STEPS[3];
    const text = words.format(Math.trunc(seconds / size), unit);
    if (time.textContent !== text) {
      time.textContent = text;
      time.title = when.toLocaleString();
    }
  }
}

function isAtEnd(box) {
  return box.scrollHeight - box.scrollTop - box.clientHeight < 24;
}

const FOCUSABLE = "a, button, input, select, summary, [tabindex]";

// What the reader has opened, scrolled or focused stays as it is.
function replace(old, fresh) {
  const opened = [...old.querySelectorAll("details")].map((each) => each.open);
  const box = old.closest("[data-follow]");
  const follows = box && isAtEnd(box);
  const sideways = [...old.querySelectorAll(".scroll")].map((each) => each.scrollLeft);
  const focused = [...old.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  old.replaceChildren(...fresh.childNodes);
  old.querySelectorAll("details").forEach((each, index) => { each.open = opened[index] ?? each.open; });
  old.querySelectorAll(".scroll").forEach((each, index) => { each.scrollLeft = sideways[index] ?? 0; });
  if (focused >= 0) old.querySelectorAll(FOCUSABLE)[focused]?.focus({preventScroll: true});
  if (follows) box.scrollTop = box.scrollHeight;
}

// An element that contains a selection is replaced only later: replacing it would end the selection.
function isSelected(element) {
  const selection = getSelection();
  return !selection.isCollapsed && selection.containsNode(element, true);
}

const sources = new WeakMap(); // the HTML of each live element, as the server sent it
let tag = null;
let misses = 0;

async function look() {
  const answer = await fetch(location.href, {cache: "no-cache", credentials: "same-origin"});
  if (answer.status === 404) return location.reload(); // what the page shows is gone
  if (!answer.ok) throw new Error(answer.statusText);
  const now = answer.headers.get("ETag");
  const text = await answer.text();
  if (now !== null && now === tag) return;
  tag = now;
  const page = new DOMParser().parseFromString(text, "text/html");
  document.title = page.title;
  document.body.dataset.poll = page.body.dataset.poll;
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (!fresh || sources.get(old) === fresh.innerHTML) continue;
    if (isSelected(old)) {
      tag = null;
      continue;
    }
    sources.set(old, fresh.innerHTML); // before the nodes move
    replace(old, fresh);
  }
  showTimes();
}

async function keepLooking() {
  const pause = Number(document.body.dataset.poll);
  if (!pause) return;
  await new Promise((done) => setTimeout(done, pause * Math.min(2 ** misses, 16)));
  if (!document.hidden) {
    try {
      await look();
      misses = 0;
    } catch {
      misses += 1;
    }
    document.body.classList.toggle("lost", misses > 2);
  }
  keepLooking();
}

// The values of lines at the pointer.
const tip = document.createElement("output");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);

function valueAt(place, scale) {
  const [low, high, start, end] = scale.split(" ").map(Number);
  return low + (place - start) / (end - start) * (high - low);
}

document.addEventListener("pointermove", (event) => {
  const svg = event.target.closest?.(".chart svg");
  const scales = svg?.querySelector("[data-across]")?.dataset;
  tip.hidden = !scales;
  if (tip.hidden) return;
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
  const texts = [...svg.querySelectorAll("polyline.line")].map((line) => {
    const near = [...line.points].reduce((best, each) => Math.abs(each.x - at) < Math.abs(best.x - at) ? each : best);
    const [x, y] = [valueAt(near.x, scales.across), valueAt(near.y, scales.upwards)].map((each) => Number(each.toPrecision(4)));
    return `${scales.unit} ${x}: ${line.dataset.name.split("  ")[0]} ${y}`;
  });
  tip.textContent = texts.join("\n");
  const right = event.clientX > innerWidth / 2;
  tip.style.left = `${event.clientX + (right ? -14 - tip.offsetWidth : 14)}px`;
  tip.style.top = `${event.clientY + 14}px`;
});

// A choice with the pointer is final; the arrow keys pass through all of them.
for (const choice of document.querySelectorAll("form.eyes select")) {
  const button = choice.form.querySelector("button");
  button.hidden = true;
  choice.addEventListener("pointerdown", () => { button.hidden = true; });
  choice.addEventListener("keydown", () => { button.hidden = false; });
  choice.addEventListener("change", () => { if (button.hidden) choice.form.submit(); });
}
for (const box of document.querySelectorAll("[data-follow]")) box.scrollTop = box.scrollHeight;
showTimes();
setInterval(showTimes, 5 * SECOND);
keepLooking();
