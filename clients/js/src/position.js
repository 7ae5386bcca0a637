/**
 * Return where a message or an entry stands in its log: at its last change.
 * @param {{ seq: number, changed_seq?: number }} entry
 */
export const positionOf = ({ changed_seq, seq }) => changed_seq ?? seq;
