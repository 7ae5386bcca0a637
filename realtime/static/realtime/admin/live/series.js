// The last 15 minutes of all processes, in steps of five seconds that each process takes.

/**
 * A step: its number since the epoch, connections and waiting frames at its end, then what happened in it:
 * frames in, frames out, deliveries, repaired gaps, refused handshakes, slow clients, and times to commit by bucket.
 * @typedef {[number, number, number, number, number, number, number, number, number, number[]]} Step
 */

export const STEP = 5; // seconds
export const STEPS = 180;
const NUMBERS = 8;
const ACKS = 9; // the place of the times to commit

/** The number of the last step that has ended at a time in seconds. */
export const lastStep = (now) => Math.floor(now / STEP) - 1;

export class Series {
  /** @type {Map<string, Map<number, Step>>} */
  nodes = new Map();

  /**
   * Add steps of a process; a step that is known is not counted again.
   * @param {string} node
   * @param {Step[]} steps oldest first
   * @returns {boolean} whether steps before the first of these are missing
   */
  add(node, steps) {
    const known = this.nodes.get(node) ?? new Map();
    const newest = Math.max(...known.keys());
    const isHole = known.size > 0 && steps.length > 0 && steps[0][0] > newest + 1;
    for (const step of steps) known.set(step[0], step);
    if (known.size) this.nodes.set(node, known);
    return isHole;
  }

  /** Forget what is older than 15 minutes. */
  trim(now) {
    const first = lastStep(now) - STEPS;
    for (const [node, steps] of this.nodes) {
      for (const at of steps.keys()) if (at <= first) steps.delete(at);
      if (!steps.size) this.nodes.delete(node);
    }
  }

  /**
   * The sums of the processes in the steps up to now. A step of which a living process has not reported
   * its part is left out at the end, because its sum would be too small.
   * @param {number} now in seconds
   * @param {string[]} living
   * @returns {{ at: number, numbers: number[], acks: number[] }[]} oldest first, from the first step that is known
   */
  sums(now, living) {
    const last = lastStep(now);
    const parts = [...this.nodes.values()];
    const isLate = living.some((node) => this.nodes.get(node)?.has(last) === false);
    const first = Math.max(last - STEPS + 1, Math.min(...parts.map((steps) => Math.min(...steps.keys()))));
    const found = [];
    for (let at = first; at <= (isLate ? last - 1 : last); at += 1) {
      found.push({ at, ...total(parts.map((steps) => steps.get(at)).filter((step) => step !== undefined)) });
    }
    return found;
  }
}

/** @param {Step[]} steps of one time */
function total(steps) {
  const numbers = new Array(NUMBERS).fill(0);
  const acks = [];
  for (const step of steps) {
    for (let place = 0; place < NUMBERS; place += 1) numbers[place] += step[place + 1];
    step[ACKS].forEach((number, bucket) => { acks[bucket] = (acks[bucket] ?? 0) + number; });
  }
  return { numbers, acks };
}

/**
 * The bound below which this share of the times stayed; 0 if there were none.
 * @param {number[]} buckets @param {number[]} bounds one more than those of the buckets, for the last one
 * @param {number} share
 */
export function quantile(buckets, bounds, share) {
  const all = buckets.reduce((sum, one) => sum + one, 0);
  let passed = 0;
  return all ? bounds[buckets.findIndex((one) => (passed += one) >= all * share)] : 0;
}
