// Puts newer fragments in place: an element with data-live names where they come from, and the next one has what is
// said when they come no more.
"use strict";
// How long a browser may ask again before a page says that it follows nothing. Chosen: a restart is over by then.
const PATIENCE_MS = 10_000;
for (const place of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(place.dataset.live);
  const status = place.nextElementSibling;
  let patience;
  const found = () => {
    clearTimeout(patience);
    patience = undefined;
    status.querySelector("p")?.remove();
  };
  const lost = () => {
    if (!status.querySelector("p")) status.append(status.querySelector("template").content.cloneNode(true));
  };
  source.addEventListener("open", found);
  source.addEventListener("fragment", (event) => {
    place.innerHTML = event.data;
  });
  // Nothing comes after it; without closing, the browser would ask again.
  source.addEventListener("end", (event) => {
    source.close();
    if (event.data === "lost") lost();
  });
  // Closed: refused, as after a restart, which ends all sessions. Otherwise it asks again.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) lost();
    else patience ??= setTimeout(lost, PATIENCE_MS);
  });
  addEventListener("pagehide", () => source.close());
}
