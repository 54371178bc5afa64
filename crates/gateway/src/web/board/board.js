// Puts newer fragments in place: an element with data-live names where they come from.
"use strict";
for (const place of document.querySelectorAll("[data-live]")) {
  const source = new EventSource(place.dataset.live);
  source.addEventListener("fragment", (event) => {
    place.innerHTML = event.data;
  });
  // Nothing comes after it; without closing, the browser would ask again.
  source.addEventListener("end", () => source.close());
  addEventListener("pagehide", () => source.close());
}
