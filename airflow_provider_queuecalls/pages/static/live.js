// Keeps a page current. The server renders everything; the elements with data-live are replaced if they have changed.
// It runs before the body is read, so that nothing on the page can be pressed before it is listened to.
"use strict";

function show(sentence, isError = false) {
  const message = document.getElementById("message");
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
  old.dispatchEvent(new Event("replaced", { bubbles: true }));
}

async function refresh() {
  const response = await fetch(location.href, { headers: { Accept: "text/html", "Queuecalls-Refresh": "1" } });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelectorAll("[data-live]").forEach((old) => {
    const found = fresh.getElementById(old.id);
    if (found) replace(old, found);
  });
}

async function follow(pause) {
  if (!document.hidden) {
    try {
      await refresh();
      document.body.classList.remove("lost");
    } catch {
      if (!document.body.classList.contains("lost")) show(document.body.dataset.lost, true);
      document.body.classList.add("lost");
    }
  }
  setTimeout(follow, pause, pause);
}

// A frame of Airflow's may neither leave itself nor download: the page around it does that.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-outside]");
  if (!link || !frame() || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const twin = frame().document.createElement("a");
  twin.href = link.href;
  twin.target = link.target;
  twin.rel = link.rel;
  if (link.hasAttribute("download")) twin.download = "";
  frame().document.body.append(twin);
  twin.click();
  twin.remove();
});

document.addEventListener("change", (event) => {
  if (event.target.form && "submits" in event.target.form.dataset) event.target.form.requestSubmit();
});

document.addEventListener("DOMContentLoaded", () => {
  const pause = Number(document.body.dataset.pause);
  if (pause) setTimeout(follow, pause, pause);
});
