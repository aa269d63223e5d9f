// How strongly label maps cover the pictures; without this they are shown or not.
(() => {
  "use strict";
  const set = () => {
    const slider = document.getElementById("over-opacity");
    if (!slider) return;
    document.getElementById("over-strength").hidden = false;
    document.documentElement.style.setProperty("--over", slider.value);
  };
  document.addEventListener("input", (event) => { if (event.target.id === "over-opacity") set(); });
  document.addEventListener("live-changed", set);
  set();
})();
