// Numbers and moments as people read them.

const COUNT = new Intl.NumberFormat("en");
const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

export const count = (number) => COUNT.format(number);
export const score = (similarity) => similarity.toFixed(3);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
export const when = (text) => WHEN.format(new Date(text));

/** 0.01 -> "1 in 100". Three figures are more than a calibration knows. */
export function oneIn(rate) {
  const among = 1 / rate;
  const digits = among < 10 ? (Number.isInteger(Math.round(among * 10) / 10) ? 0 : 1) : 0;
  const unit = among < 100 ? 1 : 10 ** (Math.floor(Math.log10(among)) - 1);
  return `1 in ${digits ? among.toFixed(1) : count(Math.round(among / unit) * unit)}`;
}

/** 0.015 -> "1.5 %". */
export function percent(rate) {
  const value = rate * 100;
  return `${Number(value.toPrecision(value < 10 ? 2 : 3))}\u00a0%`;
}

export function duration(seconds) {
  if (seconds < 90) return plural(Math.max(1, Math.round(seconds)), "second");
  if (seconds < 5400) return plural(Math.round(seconds / 60), "minute");
  if (seconds < 172800) return plural(Math.round(seconds / 3600), "hour");
  return plural(Math.round(seconds / 86400), "day");
}

/** Seconds of an answer: "12 ms", "1.2 s". */
export function quick(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)}\u00a0ms`;
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)}\u00a0ms` : `${seconds.toFixed(seconds < 10 ? 1 : 0)}\u00a0s`;
}

export function fromNow(text) {
  const seconds = (new Date(text) - Date.now()) / 1000;
  return seconds < 0 ? `${duration(-seconds)} ago` : `in ${duration(seconds)}`;
}
