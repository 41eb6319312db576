// The timeline: what this member tells as it happens, and what all members tell when they are asked.

import type { JournalEvent } from './types';

const KEPT = 400;
const NEAR_MS = 30_000; // members' clocks and ticks differ: as the API merges, so does the page

export function keyOf(e: JournalEvent): string {
  return `${e.at} ${e.member} ${e.code} ${e.text}`;
}

// merge gives newest first, each once. What every member sees is shown once, as the first told it.
export function merge(have: JournalEvent[], more: JournalEvent[]): JournalEvent[] {
  const all = new Map<string, JournalEvent>();
  for (const e of [...have, ...more]) all.set(keyOf(e), e);
  const sorted = [...all.values()].sort((a, b) => Date.parse(a.at) - Date.parse(b.at) || (a.member < b.member ? -1 : 1));
  const seen = new Map<string, { at: number; by: Set<string> }>();
  const once = sorted.filter((e) => {
    if (!e.shared) return true;
    const key = e.code + ' ' + e.text;
    const at = Date.parse(e.at);
    const before = seen.get(key);
    if (before && at - before.at < NEAR_MS && !before.by.has(e.member)) {
      before.by.add(e.member);
      return false;
    }
    seen.set(key, { at, by: new Set([e.member]) });
    return true;
  });
  return once.reverse().slice(0, KEPT);
}

export type Filter = 'all' | 'warnings';

export function filtered(list: JournalEvent[], filter: Filter, member: string): JournalEvent[] {
  return list.filter((e) => (filter === 'all' || e.severity !== 'info') && (!member || e.member === member));
}

// told is an event in two parts: what happened, and the rest of it or the reason behind it. A step's text names the step itself.
export function told(e: JournalEvent): { what: string; why: string } {
  const at = e.text.indexOf(': ');
  if (at > 0 && e.text.startsWith(e.code)) return { what: e.text.slice(0, at), why: e.text.slice(at + 2) };
  return { what: e.code.replaceAll('_', ' '), why: e.text };
}
