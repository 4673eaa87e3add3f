// The text of GET /metrics, read into numbers.

/** [{name, labels, value}], of every sample. */
export function parse(text) {
  const samples = [];
  for (const row of text.split("\n")) {
    const found = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([^ ]+)/.exec(row);
    if (!found) continue;
    const labels = {};
    for (const [, key, value] of (found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = value.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
    }
    samples.push({ name: found[1], labels, value: Number(found[3].replace("+Inf", "Infinity")) });
  }
  return samples;
}

export const named = (samples, name) => samples.filter((sample) => sample.name === name);

/** Cumulated counts of a histogram, summed over all its labels but `le`: Map from bound to count. */
export function buckets(samples, name, wanted = () => true) {
  const found = new Map();
  for (const { labels, value } of named(samples, `${name}_bucket`)) {
    if (!wanted(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    found.set(bound, (found.get(bound) ?? 0) + value);
  }
  return new Map([...found].sort(([a], [b]) => a - b));
}

/** What came between two readings. A process that started anew counts from nothing. */
export function since(now, before) {
  const total = (map) => map.get(Infinity) ?? 0;
  if (!before || total(before) > total(now)) return now;
  return new Map([...now].map(([bound, value]) => [bound, value - (before.get(bound) ?? 0)]));
}

/** The value that a share of what was counted stays below; linear within a bucket. NaN: nothing. */
export function quantile(counts, share) {
  const all = counts.get(Infinity) ?? 0;
  if (!all) return NaN;
  const rank = share * all;
  let lower = 0;
  let below = 0;
  for (const [bound, cumulated] of counts) {
    if (cumulated >= rank) {
      if (bound === Infinity) return lower;
      return lower + ((bound - lower) * (rank - below)) / Math.max(1, cumulated - below);
    }
    lower = bound;
    below = cumulated;
  }
  return lower;
}
