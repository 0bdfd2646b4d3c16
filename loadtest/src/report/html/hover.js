// Shows the values under the pointer, or at the place that the arrow keys move to. The page is
// complete without it. Texts go in as text, never as markup.
"use strict";
for (const svg of document.querySelectorAll(".plot > svg")) {
  const data = JSON.parse(svg.dataset.points);
  const all = [...new Set(data.lines.flatMap((line) => line.points.map((point) => point[0])))];
  all.sort((one, other) => one - other);
  if (!all.length) continue;
  const make = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    svg.append(node);
    return node;
  };
  const hair = make("path", { class: "hair", visibility: "hidden" });
  const dots = data.lines.map((_, index) =>
    make("circle", { class: "dot s" + index, r: 4, visibility: "hidden" }));
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  svg.after(tip);
  let at = all.length - 1;
  const show = (x) => {
    tip.replaceChildren();
    hair.setAttribute("d", `M${x} ${data.top}V${data.floor}`);
    hair.setAttribute("visibility", "visible");
    data.lines.forEach((line, index) => {
      const point = line.points.find((point) => point[0] === x);
      dots[index].setAttribute("visibility", point ? "visible" : "hidden");
      if (!point) return;
      dots[index].setAttribute("cx", point[0]);
      dots[index].setAttribute("cy", point[1]);
      if (!tip.childNodes.length) tip.append(`${data.x} ${point[2]}`);
      tip.append(document.createElement("br"), `${line.name} ${point[3]}`);
    });
    tip.hidden = false;
    const box = svg.getBoundingClientRect();
    const frame = svg.parentElement.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const left = box.left - frame.left + x * scale;
    const fits = left + 14 + tip.offsetWidth < frame.width;
    tip.style.left = (fits ? left + 14 : left - 14 - tip.offsetWidth) + "px";
    tip.style.top = box.top - frame.top + data.top * scale + "px";
  };
  const hide = () => {
    tip.hidden = true;
    for (const node of [hair, ...dots]) node.setAttribute("visibility", "hidden");
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
    const closer = (best, place, index) =>
      Math.abs(place - x) < Math.abs(all[best] - x) ? index : best;
    at = all.reduce(closer, 0);
    show(all[at]);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(all.length - 1, Math.max(0, at + step));
    show(all[at]);
  });
}
