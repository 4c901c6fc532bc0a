// Keeps the page current, and submits its forms to the API. The server renders everything.
"use strict";

const PAUSE = 1000;
const message = document.getElementById("message");

function show(sentence, isError = false) {
  message.textContent = sentence;
  message.classList.toggle("error", isError);
  message.classList.add("shown");
  clearTimeout(show.timer);
  show.timer = setTimeout(() => message.classList.remove("shown"), 4000);
}

// Open details stay open, and the focus stays where it is.
function replace(old, fresh) {
  const open = new Set([...old.querySelectorAll("details[open]")].map((details) => details.dataset.keep));
  fresh.querySelectorAll("details").forEach((details) => { details.open = open.has(details.dataset.keep); });
  if (old.outerHTML === fresh.outerHTML) return;
  const focused = old.contains(document.activeElement) && document.activeElement !== old
    ? [...old.querySelectorAll("a, button, summary")].indexOf(document.activeElement) : -1;
  const [left, top] = [old.scrollLeft, old.scrollTop];
  old.replaceChildren(...document.importNode(fresh, true).childNodes);
  [old.scrollLeft, old.scrollTop] = [left, top];
  if (focused >= 0) old.querySelectorAll("a, button, summary")[focused]?.focus({ preventScroll: true });
}

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelectorAll("[data-live]").forEach((old) => {
    const found = fresh.getElementById(old.id);
    if (found) replace(old, found);
  });
}

async function follow() {
  if (!document.hidden) {
    try {
      await refresh();
      document.body.classList.remove("lost");
    } catch {
      if (!document.body.classList.contains("lost")) show("The sandbox does not respond. Is it still running?", true);
      document.body.classList.add("lost");
    }
  }
  setTimeout(follow, PAUSE);
}

async function submitForm(form) {
  const [method, path] = form.dataset.api.split(" ");
  const given = {};
  for (const field of form.elements) {
    if (field.name) given[field.name] = "json" in field.dataset ? JSON.parse(field.value) : field.value;
  }
  const response = await fetch(path, {
    method, headers: { "Content-Type": "application/json" }, body: method === "DELETE" ? undefined : JSON.stringify(given),
  });
  const result = await response.json();
  form.closest("dialog")?.close();
  show(response.ok ? form.dataset.done || "Done." : result.detail, !response.ok);
  await refresh();
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.api) return;
  event.preventDefault();
  submitForm(event.target).catch(() => show("The sandbox does not respond. Is it still running?", true));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.dialog) document.getElementById(button.dataset.dialog).showModal();
  if (button?.dataset.copy) {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
      .then(() => show("Copied."), () => show("The browser does not allow it. Select the text and copy it by hand.", true));
  }
});

setTimeout(follow, PAUSE);
