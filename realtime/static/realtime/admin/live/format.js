// Numbers, sizes and times as text.

/** @type {[number, string][]} */
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export const fill = (text, values) => text.replace(/%\((\w+)\)s/g, (_, name) => values[name] ?? "");
export const sum = (values) => values.reduce((total, one) => total + one, 0);
export const whole = (number) => Math.round(number).toLocaleString();

/** A rate: with one digit after the point while it is small. */
export const speed = (number) => (number > 0 && number < 10 ? number.toFixed(1) : whole(number));

/** A time span in its two largest units. */
export function span(seconds) {
  if (seconds < 1) return "0 s";
  const first = UNITS.findIndex(([size]) => seconds >= size);
  return UNITS.slice(first, first + 2).map(([size, name], place) => {
    const number = Math.floor((place ? seconds % UNITS[first][0] : seconds) / size);
    return number || !place ? `${number} ${name}` : "";
  }).join(" ").trim();
}

/** A number of bytes. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${" kMGT"[power]}B`;
}
