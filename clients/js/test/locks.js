/** Web Locks of one origin, which Node lacks. */

const aborted = () => new DOMException("The request was aborted.", "AbortError");

export class Locks {
  #queues = new Map(); // name → requests, the first of which holds the lock

  names() {
    return [...this.#queues.keys()];
  }

  request(name, options, act = options) {
    const { signal, steal = false, ifAvailable = false } = act === options ? {} : options;
    if (signal?.aborted) return Promise.reject(aborted());
    const queue = this.#queues.get(name) ?? [];
    if (ifAvailable && queue.length) return Promise.resolve().then(() => act(null));
    this.#queues.set(name, queue);
    return new Promise((resolve, reject) => {
      const one = { act: () => act({ name }), resolve, reject };
      signal?.addEventListener("abort", () => queue[0] !== one && this.#remove(name, one) && reject(aborted()));
      if (steal && queue.length) queue.shift().reject(aborted());
      steal ? queue.unshift(one) : queue.push(one);
      if (queue[0] === one) this.#grant(name, one);
    });
  }

  async #grant(name, one) {
    try {
      one.resolve(await Promise.resolve().then(one.act));
    } catch (error) {
      one.reject(error);
    }
    this.#remove(name, one);
  }

  #remove(name, one) {
    const queue = this.#queues.get(name);
    const index = queue?.indexOf(one) ?? -1;
    if (index < 0) return false;
    queue.splice(index, 1);
    if (!queue.length) this.#queues.delete(name);
    else if (!index) this.#grant(name, queue[0]);
    return true;
  }
}
