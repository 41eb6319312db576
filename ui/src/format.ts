// Numbers and times as people read them.

export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return 'not known';
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let at = 0;
  let value = Math.max(0, n);
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${at === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(2))} ${units[at]}`;
}

export function ms(n: number | null | undefined): string {
  if (n === null || n === undefined) return 'not known';
  if (n >= 1000) return `${Number((n / 1000).toPrecision(3))} s`;
  return `${n >= 10 ? Math.round(n) : Number(n.toPrecision(2))} ms`;
}

export function clock(at: string | number | Date): string {
  return new Date(at).toLocaleTimeString([], { hour12: false });
}

export function stamp(at: string | number | Date): string {
  return new Date(at).toLocaleString([], { hour12: false });
}

export function ago(since: string, now: number): string {
  const seconds = Math.round((now - Date.parse(since)) / 1000);
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 2) return 'just now';
  if (seconds < 120) return `for ${seconds} s`;
  if (seconds < 7200) return `for ${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `for ${Math.round(seconds / 3600)} h`;
  return `for ${Math.round(seconds / 86400)} days`;
}

// short cuts what does not fit; the whole stands in the element's label.
export function short(text: string, max: number): string {
  return text.length <= max ? text : text.slice(0, max - 1) + '…';
}

export function plural(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
