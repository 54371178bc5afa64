// Puts newer fragments in place: an element with data-live names where they come from, and the next one has what is
// said when they come no more. With data-hidden="follow" it is followed while nobody sees it too.
"use strict";
// How long a browser may ask again before a page says that it follows nothing. Chosen: a restart is over by then.
const PATIENCE_MS = 10_000;

// Makes an element what another one is and leaves alone what is alike: what has the keyboard stays, and of what is read
// out as it changes only that is.
function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  renewInside(old, fresh);
}

function renewInside(old, fresh) {
  const were = [...old.childNodes];
  const are = [...fresh.childNodes];
  for (const node of were.slice(are.length)) node.remove();
  are.forEach((node, at) => (at < were.length ? renew(were[at], node) : old.append(node)));
}

// The same with a link that has the keyboard: where it led, it leads on, wherever in the fragment it is now.
function put(place, html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  const href = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  renewInside(place, template.content);
  if (href === null || document.activeElement.getAttribute("href") === href) return;
  [...place.querySelectorAll("a")].find((link) => link.getAttribute("href") === href)?.focus();
}

for (const place of document.querySelectorAll("[data-live]")) {
  const status = place.nextElementSibling;
  let source;
  let patience;
  const found = () => {
    clearTimeout(patience);
    patience = undefined;
    status.querySelector("p")?.remove();
  };
  const lost = () => {
    if (!status.querySelector("p")) status.append(status.querySelector("template").content.cloneNode(true));
  };
  const leave = () => {
    source?.close();
    clearTimeout(patience);
    patience = undefined;
  };
  const follow = () => {
    source = new EventSource(place.dataset.live);
    source.addEventListener("open", found);
    source.addEventListener("fragment", (event) => {
      put(place, event.data);
    });
    // Nothing comes after it; without closing, the browser would ask again.
    source.addEventListener("end", (event) => {
      leave();
      document.removeEventListener("visibilitychange", seen);
      if (event.data === "lost") lost();
    });
    // Closed: refused, as after a restart, which ends all sessions. Otherwise it asks again.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) lost();
      else patience ??= setTimeout(lost, PATIENCE_MS);
    });
  };
  // What nobody sees follows nothing: a browser opens few connections to one server, for all its tabs together. What
  // comes first when it is seen again is the whole fragment.
  const seen = () => {
    leave();
    if (!document.hidden) follow();
  };
  // A code is renewed and scanned while another tab is looked at.
  if (place.dataset.hidden === "follow") follow();
  else {
    document.addEventListener("visibilitychange", seen);
    seen();
  }
  addEventListener("pagehide", leave);
}
