/** Users without an account: their ids begin with `guest:`, and this alone stands for any guest. */

export const ANY_GUEST = "guest:";

/** @param {string | null} userId */
export const isGuest = (userId) => Boolean(userId?.startsWith(ANY_GUEST));
