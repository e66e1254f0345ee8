// Draws samples on canvases. Knows what a sample holds (see live.py), not where it comes from.

import { count, duration } from "./format.js";

export const SPAN = 300; // seconds shown

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The canvas' context, its size in CSS pixels, cleared and at the screen's own resolution.
function prepare(canvas) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  return { context, width, height };
}

const LEFT = 46, BOTTOM = 16; // room for the axes' words

function axisOfTime(context, width, height) {
  context.fillStyle = colour("--quiet");
  context.textAlign = "center";
  for (let minute = 1; minute < SPAN / 60; minute++)
    context.fillText(`−${minute} min`, width - (width - LEFT) * (minute * 60 / SPAN), height - 3);
}

// The smallest of 1, 2, 5, 10, 20, … that is not below the value.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
}

// Requests a second, stacked by class of status: 2xx and 1xx, 3xx, 4xx, 5xx with aborted.
export function drawRates(canvas, samples, now) {
  const { context, width, height } = prepare(canvas);
  const layers = [["--c2", [1, 2]], ["--c3", [3]], ["--c4", [4]], ["--c5", [5, 0]]];
  const rate = (sample, classes) => classes.reduce((sum, each) => sum + sample.requests[each], 0) / sample.seconds;
  const top = nice(Math.max(1, ...samples.map((sample) => rate(sample, [0, 1, 2, 3, 4, 5]))));
  const column = (width - LEFT) / SPAN, floor = height - BOTTOM;
  context.textAlign = "right";
  for (const part of [0, .5, 1]) {
    const y = floor - part * (floor - 8);
    context.fillStyle = colour("--line");
    context.fillRect(LEFT, y, width - LEFT, 1);
    context.fillStyle = colour("--quiet");
    context.fillText(count(top * part), LEFT - 6, y + 4);
  }
  for (const sample of samples) {
    const x = width - (now - sample.time) * column;
    const wide = Math.max(1, sample.seconds * column + .4);
    let y = floor;
    for (const [name, classes] of layers) {
      const tall = rate(sample, classes) / top * (floor - 8);
      context.fillStyle = colour(name);
      context.fillRect(Math.max(LEFT, x - wide), y - tall, wide, tall);
      y -= tall;
    }
  }
  axisOfTime(context, width, height);
}

// A column for each sample, a row for each factor of two of the duration; the darker, the more requests.
export function drawHeat(canvas, samples, now, bounds) {
  const { context, width, height } = prepare(canvas);
  const row = (bucket) => bucket === 0 ? 0 : Math.min(20, 1 + Math.floor((bucket - 1) / 4));
  const rows = 21, floor = height - BOTTOM, tall = (floor - 6) / rows, column = (width - LEFT) / SPAN;
  const columns = samples.map((sample) => {
    const cells = new Float64Array(rows);
    for (const [bucket, requests] of sample.duration) cells[row(bucket)] += requests / sample.seconds;
    return cells;
  });
  const most = Math.log1p(Math.max(1, ...columns.map((cells) => Math.max(...cells))));
  samples.forEach((sample, index) => {
    const x = width - (now - sample.time) * column, wide = Math.max(1, sample.seconds * column + .4);
    columns[index].forEach((requests, at) => {
      if (!requests) return;
      context.fillStyle = `rgba(${colour("--heat")}, ${.12 + .88 * Math.log1p(requests) / most})`;
      context.fillRect(Math.max(LEFT, x - wide), floor - (at + 1) * tall, wide, Math.ceil(tall));
    });
  });
  context.fillStyle = colour("--quiet");
  context.textAlign = "right";
  for (let at = 0; at < rows; at += 4) {
    const bound = bounds[at === 0 ? 0 : at * 4];
    if (bound) context.fillText(duration(bound), LEFT - 6, floor - (at + 1) * tall + 4);
  }
  axisOfTime(context, width, height);
}
