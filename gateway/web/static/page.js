// The pages work without this file. It remembers the choice of colours, and lets code be copied.
"use strict";
(() => {
  const root = document.documentElement;
  const remembered = () => {
    try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; }
  };
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
  };
  apply(remembered()); // before the body is drawn

  const show = () => {
    const chosen = document.getElementById("theme-" + remembered());
    if (chosen) chosen.checked = true;
  };
  document.addEventListener("DOMContentLoaded", () => {
    show();
    for (const input of document.querySelectorAll("input[name=theme]")) {
      input.addEventListener("change", () => {
        apply(input.value);
        try { localStorage.setItem("theme", input.value); } catch { /* a browser that keeps nothing */ }
      });
    }
    if (!navigator.clipboard) return;
    for (const block of document.querySelectorAll(".code")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      block.append(button);
    }
  });
  window.addEventListener("pageshow", show); // a browser may restore the form when it goes back
})();
