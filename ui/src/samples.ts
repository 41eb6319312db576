// What the charts show: one sample for each status, kept for as long as the page is open, at most a quarter of an hour.

import { primaryOf } from './layout';
import type { Status } from './types';

const KEPT = 900;

export interface Sample {
  at: number; // seconds since 1970
  primary: string;
  lsn: number; // of the primary, in bytes; NaN: not known
  lag: Record<string, number>;
  sessions: Record<string, number>;
  commit: number | null;
}

// position reads an LSN such as 1A/2B3C. A double is exact up to 8 PB of WAL.
export function position(lsn: string): number {
  const [high, low] = lsn.split('/');
  const n = parseInt(high ?? '', 16) * 2 ** 32 + parseInt(low ?? '', 16);
  return n > 0 ? n : NaN;
}

export function sampleOf(s: Status): Sample {
  const primary = primaryOf(s);
  const leads = primary?.state === 'running';
  const sample: Sample = {
    at: Date.parse(s.at) / 1000,
    primary: leads ? primary.name : '',
    lsn: leads ? position(primary.lsn) : NaN,
    lag: {},
    sessions: {},
    commit: leads ? (primary.commit_ms ?? null) : null,
  };
  for (const m of s.members) {
    if (m.role === 'witness' || m.state === 'unreachable') continue;
    if (m.role === 'standby' && m.lag_bytes !== null) sample.lag[m.name] = m.lag_bytes;
    sample.sessions[m.name] = m.sessions ?? 0;
  }
  return sample;
}

// add keeps the list short, and its times growing: a member's clock may be set back. Ticks come faster than once a
// second while something happens; the charts need no more than two of them.
export function add(list: Sample[], s: Sample): Sample[] {
  const last = list[list.length - 1];
  if (last && (!(s.at > last.at) || s.at - last.at < 0.4)) return list;
  return [...list.slice(-(KEPT - 1)), s];
}

export interface Series {
  label: string;
  values: (number | null)[];
}

export function times(list: Sample[]): number[] {
  return list.map((s) => s.at);
}

function names(list: Sample[], of: (s: Sample) => Record<string, number>): string[] {
  return [...new Set(list.flatMap((s) => Object.keys(of(s))))].sort();
}

function byMember(list: Sample[], of: (s: Sample) => Record<string, number>): Series[] {
  return names(list, of).map((label) => ({ label, values: list.map((s) => of(s)[label] ?? null) }));
}

export const lag = (list: Sample[]): Series[] => byMember(list, (s) => s.lag);
export const sessions = (list: Sample[]): Series[] => byMember(list, (s) => s.sessions);
export const commit = (list: Sample[]): Series[] => [{ label: 'commit', values: list.map((s) => s.commit) }];

// rate is WAL written per second, between two samples of one primary. The line is broken where another leads.
export function rate(list: Sample[]): Series[] {
  const values = list.map((s, i) => {
    const before = list[i - 1];
    if (!before || !s.primary || before.primary !== s.primary) return null;
    const n = (s.lsn - before.lsn) / (s.at - before.at);
    return Number.isFinite(n) && n >= 0 ? n : null;
  });
  return [{ label: 'WAL', values }];
}

export function newest(series: Series): number | null {
  return series.values[series.values.length - 1] ?? null;
}
