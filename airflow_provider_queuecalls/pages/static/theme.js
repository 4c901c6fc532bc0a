// Before anything is drawn: Airflow's theme and time zone, where the page is served by Airflow.
"use strict";

const root = document.documentElement;

// The frame around this page, if it is one of the same site, as in Airflow.
function frame() {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null;
  }
}

function applyTheme() {
  const outside = frame()?.document.documentElement.classList;
  const chosen = outside ? (outside.contains("dark") ? "dark" : "light") : localStorage.getItem("theme");
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  else delete root.dataset.theme;
  root.dispatchEvent(new Event("theme"));
}

function applyTimezone(cookie) {
  const airflows = localStorage.getItem("timezone")?.replaceAll('"', "");
  const zone = airflows && airflows !== "local" ? airflows : Intl.DateTimeFormat().resolvedOptions().timeZone;
  const wanted = `${cookie}=${zone}`;
  if (document.cookie.split("; ").includes(wanted)) return;
  document.cookie = `${wanted}; path=/; SameSite=Lax; max-age=31536000`;
  if (document.cookie.split("; ").includes(wanted)) location.reload();
}

root.classList.toggle("framed", window.parent !== window);
applyTheme();
if (root.dataset.timezone) applyTimezone(root.dataset.timezone);
if (frame()) new MutationObserver(applyTheme).observe(frame().document.documentElement, { attributeFilter: ["class"] });
window.addEventListener("storage", applyTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => root.dispatchEvent(new Event("theme")));
