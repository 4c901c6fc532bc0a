// Submits the page's forms to the API. live.js keeps the page current.
"use strict";

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
  submitForm(event.target).catch(() => show(document.body.dataset.lost, true));
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.dialog) document.getElementById(button.dataset.dialog).showModal();
  if (button?.dataset.copy) {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent)
      .then(() => show("Copied."), () => show("The browser does not allow it. Select the text and copy it by hand.", true));
  }
});
