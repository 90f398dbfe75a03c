// Numbers as text, and their places on an axis. Texts with units come with the page's data.
function trimmed(value, digits = 4) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(1).replace("e+", "e").replace(".0e", "e").replace("-", "−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

// Steps of 1, 2 or 5 times a power of ten: the smallest that gives not many more than `count` ticks.
function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count) / 1.4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((one) => one * power >= rough * 0.999);
  const ticks = [];
  for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place += 1) ticks.push(place * step);
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) ticks.push(10 ** power);
  const inside = ticks.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  if (inside.length >= 2) return inside;
  const finer = ticks.flatMap((value) => [1, 2, 5].map((one) => one * value));
  return finer.filter((value) => value >= low * 0.999 && value <= high * 1.001);
}

// Of several sets of ticks, [value, text], the first that has two in the range; else the ends of `known`.
function ticksOf(sets, known, low, high) {
  const inside = sets.map((ticks) => ticks.filter(([value]) => value >= low && value <= high));
  const sorted = [...known].sort(([a], [b]) => a - b);
  return inside.find((ticks) => ticks.length > 1) || [...new Set([sorted[0], sorted[sorted.length - 1]])];
}

// An axis: where a value lies between the pixels `from` and `to`, and its ticks as [value, text].
function makeAxis(values, from, to, { log = false, count = 5 } = {}) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (log) {
    const room = low === high ? 2 : (high / low) ** 0.06;
    [low, high] = [low / room, high * room];
  } else {
    const room = low === high ? Math.abs(low) * 0.05 || 1 : (high - low) * 0.06;
    [low, high] = [low - room, high + room];
  }
  const scale = log ? Math.log : (value) => value;
  const at = (value) => from + ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (to - from);
  const ticks = (log ? logTicks(low, high) : linearTicks(low, high, count)).map((value) => [value, trimmed(value)]);
  return { at, ticks: from < to ? thinned(ticks, at, to - from) : ticks, low, high };
}

// Texts need room: a tick that is too close to the one before it is dropped.
function thinned(ticks, at, width) {
  let last = -Infinity;
  return ticks.filter(([value]) => {
    const enough = at(value) - last >= Math.min(46, width / 3);
    if (enough) last = at(value);
    return enough;
  });
}
