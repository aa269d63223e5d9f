// One key for each choice; the buttons do the same.
(() => {
  "use strict";
  const ballot = document.getElementById("ballot");
  if (!ballot) return;
  const keys = { ArrowLeft: "left", 1: "left", ArrowRight: "right", 2: "right" };
  let sent = false;
  ballot.addEventListener("submit", (event) => {
    if (sent) event.preventDefault(); // one choice for each pair, however fast the keys come
    sent = true;
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !(event.key in keys)) return;
    event.preventDefault();
    ballot.requestSubmit(ballot.querySelector(`[value=${keys[event.key]}]`));
  });
})();
