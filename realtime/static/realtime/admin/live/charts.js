// Charts of the last 15 minutes, in SVG.

import { fill, whole } from "./format.js";
import { STEP, STEPS } from "./series.js";

const [WIDTH, HEIGHT, EDGE] = [300, 64, 2];

/**
 * A chart. `read` takes a sum of `Series`, and returns the values of its lines.
 * `now` returns those at the moment; without it, the chart shows how often something has happened.
 * @typedef {{ title: string, read: (sum: any) => number[], now?: () => number[] }} Options
 */

export class Chart {
  /** @param {Element} parent @param {Options} options @param {Record<string, string>} texts */
  constructor(parent, options, texts) {
    this.options = options;
    this.figure = document.createElement("figure");
    this.figure.className = "realtime-chart";
    this.figure.innerHTML = `<figcaption><span></span><output></output></figcaption>
      <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true"><polyline/><polyline/></svg>
      <div class="realtime-scale"><span></span><span class="realtime-top"></span><span></span></div>`;
    const [begin, , end] = this.figure.querySelectorAll(".realtime-scale span");
    this.figure.querySelector("span").textContent = options.title;
    [begin.textContent, end.textContent] = [texts.quarter, texts.now];
    this.top = this.figure.querySelector(".realtime-top");
    this.text = texts.most;
    parent.append(this.figure);
  }

  /** @param {{ at: number }[]} sums oldest first @param {number} now in seconds */
  draw(sums, now) {
    const { read, now: current } = this.options;
    /** @type {[number, number[]][]} */
    const points = sums.map((sum) => [(sum.at + 1) * STEP, read(sum)]);
    const latest = current ? current() : total(points);
    if (current) points.push([now, latest]);
    const most = Math.max(0, ...points.map(([, values]) => Math.max(...values)));
    const top = Math.max(1, most);
    this.figure.querySelectorAll("polyline").forEach((line, place) => {
      line.setAttribute("points", points.filter(([, values]) => place in values).map(([at, values]) => {
        const x = WIDTH - ((now - at) / (STEPS * STEP)) * WIDTH;
        return `${x.toFixed(1)},${(HEIGHT - EDGE - (values[place] / top) * (HEIGHT - 2 * EDGE)).toFixed(1)}`;
      }).join(" "));
    });
    this.figure.querySelector("output").textContent = latest.map(whole).join(" / ");
    this.top.textContent = fill(this.text, { number: whole(most) });
  }
}

const total = (points) => [points.reduce((sum, [, [number]]) => sum + number, 0)];
