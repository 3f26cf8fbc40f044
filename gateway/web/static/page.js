// The pages work without this file. It remembers the choice of colours, lets code be copied, and makes a PNG of a chart's SVG.
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

  const SCALE = 2; // pixels of a picture for each of the drawing
  const save = async (address, name) => {
    const drawing = new Image();
    drawing.src = address;
    await drawing.decode();
    const canvas = document.createElement("canvas");
    canvas.width = drawing.naturalWidth * SCALE;
    canvas.height = drawing.naturalHeight * SCALE;
    canvas.getContext("2d").drawImage(drawing, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((picture) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(picture);
      link.download = name + ".png";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }, "image/png");
  };

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
    for (const files of document.querySelectorAll(".downloads")) {
      const drawing = files.lastElementChild;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "PNG";
      button.setAttribute("aria-label", drawing.getAttribute("aria-label").replace("SVG", "PNG"));
      button.addEventListener("click", () => save(drawing.href, files.dataset.chart));
      files.append(button);
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
