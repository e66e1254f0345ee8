// Numbers as people read them. Pure.

export const count = (value) =>
  value >= 1e6 ? (value / 1e6).toFixed(1) + "M" : value >= 1e4 ? Math.round(value / 1e3) + "k"
    : value >= 100 || Number.isInteger(value) ? String(Math.round(value)) : value.toFixed(1);

export const percent = (share) => (share * 100 >= 10 ? Math.round(share * 100) : (share * 100).toFixed(1)) + " %";

export function bytes(value) {
  if (value == null) return "–";
  for (const unit of ["B", "KiB", "MiB"]) {
    if (value < 1024) return (value < 10 && unit !== "B" ? value.toFixed(1) : Math.round(value)) + " " + unit;
    value /= 1024;
  }
  return value.toFixed(1) + " GiB";
}

export function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 1e-3) return Math.round(seconds * 1e6) + " µs";
  if (seconds < 1) return (seconds * 1e3 < 10 ? (seconds * 1e3).toFixed(1) : Math.round(seconds * 1e3)) + " ms";
  return seconds < 10 ? seconds.toFixed(1) + " s" : age(seconds);
}

export function age(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor((s % 86400) / 3600) + " h";
}

export const clock = (seconds) => new Date(seconds * 1e3).toTimeString().slice(0, 8);
