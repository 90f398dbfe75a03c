// Numbers as people read them, and the places of numbers on an axis.
const DURATIONS = [
  [0.001, "1 ms"], [0.01, "10 ms"], [0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"],
  [3600, "1 h"], [36000, "10 h"], [86400, "1 d"], [864000, "10 d"], [8640000, "100 d"],
];

function trimmed(value, digits = 4) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(1).replace("e+", "e").replace(".0e", "e").replace("-", "−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

function countText(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size) return `${Number((value / size).toPrecision(3))} ${letter}`;
  }
  return trimmed(value);
}

function secondsText(value) {
  if (value < 60) return `${trimmed(value, 3)} s`;
  const minutes = Math.round(value / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
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

// An axis: where a value lies between the pixels `from` and `to`, and its ticks as [value, text].
function makeAxis(values, from, to, { log = false, text = trimmed, durations = false, count = 5 } = {}) {
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
  let ticks = (log ? logTicks(low, high) : linearTicks(low, high, count)).map((value) => [value, text(value)]);
  if (durations && log) {
    const inside = DURATIONS.filter(([value]) => value >= low && value <= high);
    if (inside.length >= 2) ticks = inside;
  }
  // Texts need room; where it is short, every second one goes.
  const room = 46;
  while (ticks.length > 2 && Math.abs(at(ticks[1][0]) - at(ticks[0][0])) < Math.min(room, Math.abs(to - from) / 3) && from < to) {
    ticks = ticks.filter((_, place) => place % 2 === 0);
  }
  return { at, ticks, low, high };
}
