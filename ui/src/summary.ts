// The cluster in a few words: what a person wants to know first.

import { plural } from './format';
import { primaryOf } from './layout';
import type { Condition, Operation, Severity, Status } from './types';

export interface Attention extends Condition {
  member: string; // '': the cluster's
}

const ORDER: Record<Severity, number> = { error: 0, warning: 1, info: 2 };

// attention lists all conditions, the worst first.
export function attention(s: Status): Attention[] {
  const all: Attention[] = s.conditions.map((c) => ({ ...c, member: '' }));
  for (const m of s.members) all.push(...m.conditions.map((c) => ({ ...c, member: m.name })));
  return all.sort((a, b) => ORDER[a.severity] - ORDER[b.severity]);
}

export interface Headline {
  severity: 'good' | Severity;
  text: string;
}

export function headline(s: Status): Headline {
  const primary = primaryOf(s);
  const worst = attention(s)[0]?.severity ?? 'info';
  const severity = worst === 'info' ? 'good' : worst;
  if (s.paused) return { severity: 'warning', text: 'Paused: no failover' };
  if (!primary) return { severity: 'error', text: 'No primary' };
  if (primary.state !== 'running') return { severity: 'error', text: `${primary.name} leads and is not ready: ${primary.state}` };
  return { severity, text: `${primary.name} is primary` };
}

// quorum says where an acknowledged commit is.
export function quorum(s: Status): string {
  const members = s.sync.members ?? [];
  const k = s.sync.k ?? 0;
  if (!members.length || !k) return 'Commits are confirmed by the primary alone';
  return `A commit is confirmed by the primary and ${k} of ${members.join(', ')}`;
}

export function votes(s: Status): string {
  const voters = s.members.filter((m) => m.voter).map((m) => m.name);
  if (!voters.length) return 'The store is external';
  return `${plural(voters.length, 'voter')}: ${voters.join(', ')}`;
}

const PHASES: Record<string, string[]> = {
  switchover: ['requested', 'holding', 'stopping', 'done'],
  failover: ['requested', 'done'],
  restart: ['requested', 'done'],
};

export interface Phase {
  name: string;
  state: 'past' | 'now' | 'next' | 'failed';
}

// phases is how far an operation has come. One that was taken back failed where it stood, which its record no longer says.
export function phases(op: Operation): Phase[] {
  const names = [...((!op.dry_run && PHASES[op.kind]) || ['requested', 'done'])];
  if (op.phase === 'aborted') return [{ name: 'requested', state: 'past' }, { name: 'taken back', state: 'failed' }];
  if (!names.includes(op.phase)) names.unshift(op.phase);
  const at = names.indexOf(op.phase);
  const over = op.phase === 'done';
  return names.map((name, i) => ({ name, state: i < at || over ? 'past' : i === at ? 'now' : 'next' }));
}

export function titleOf(op: Operation): string {
  let text = op.dry_run ? `Check of a ${op.kind}` : op.kind[0]?.toUpperCase() + op.kind.slice(1);
  if (op.from) text += ` from ${op.from}`;
  if (op.to) text += ` to ${op.to}`;
  if (op.queue?.length) text += ` of ${op.queue.join(', ')}`;
  return text;
}

// percent reads a job's progress such as "42 % of 12 GB"; null: it does not say.
export function percent(progress: string): number | null {
  const found = /^(\d+) %/.exec(progress);
  return found ? Number(found[1]) : null;
}
