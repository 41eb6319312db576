// What can be asked for, and with which request. Nothing here is sent without the dialog's confirmation.

import type { Member, Role, Status } from './types';

export type Action =
  | { kind: 'switchover'; to: string }
  | { kind: 'restart' | 'reinit' | 'drain' | 'undrain'; member: string }
  | { kind: 'pause' | 'resume' | 'cancel' };

export interface Request {
  method: string;
  path: string;
  body?: unknown;
}

export function requestOf(a: Action, dryRun = false): Request {
  switch (a.kind) {
    case 'switchover':
      return { method: 'POST', path: '/v1/operations', body: { kind: 'switchover', to: a.to || undefined, dry_run: dryRun || undefined } };
    case 'restart':
      return { method: 'POST', path: '/v1/operations', body: { kind: 'restart', queue: [a.member] } };
    case 'reinit':
      return { method: 'POST', path: memberPath(a.member, 'requests'), body: { kind: 'reinit' } };
    case 'drain':
      return { method: 'PUT', path: memberPath(a.member, 'drain') };
    case 'undrain':
      return { method: 'DELETE', path: memberPath(a.member, 'drain') };
    case 'pause':
      return { method: 'POST', path: '/v1/pause' };
    case 'resume':
      return { method: 'DELETE', path: '/v1/pause' };
    case 'cancel':
      return { method: 'DELETE', path: '/v1/operations/current' };
  }
}

function memberPath(member: string, what: string): string {
  return `/v1/members/${encodeURIComponent(member)}/${what}`;
}

export interface Question {
  title: string; // it names the thing
  text: string;
  button: string;
  typed?: string; // what has to be typed first, where data is replaced
}

export function questionOf(a: Action, s: Status): Question {
  const primary = s.members.find((m) => m.role === 'primary')?.name ?? 'nobody';
  switch (a.kind) {
    case 'switchover':
      return {
        title: `Switchover of ${s.cluster}`,
        text: `${primary} hands over${a.to ? ` to ${a.to}` : ' to the best standby'}. Clients behind the endpoints are held meanwhile; others lose their connection. Nothing that was committed is lost.`,
        button: a.to ? `Switch over to ${a.to}` : 'Switch over',
      };
    case 'restart':
      return {
        title: `Restart ${a.member}`,
        text:
          a.member === primary
            ? `PostgreSQL on the primary ${a.member} stops and starts again in place: writes stop for that time, and all sessions there end.`
            : `PostgreSQL on ${a.member} stops and starts again; its sessions end.`,
        button: `Restart ${a.member}`,
      };
    case 'reinit':
      return {
        title: `Reinit ${a.member}`,
        text: `${a.member} is cloned anew from ${primary}. Its present data is set aside, and serves nobody meanwhile.`,
        button: `Reinit ${a.member}`,
        typed: a.member,
      };
    case 'drain':
      return {
        title: `Drain ${a.member}`,
        text: `${a.member} gets no role and no readers until it is undrained${a.member === primary ? '; it is the primary, so it hands over first' : ''}.`,
        button: `Drain ${a.member}`,
      };
    case 'undrain':
      return { title: `Undrain ${a.member}`, text: `${a.member} may have a role and readers again.`, button: `Undrain ${a.member}` };
    case 'pause':
      return {
        title: `Pause ${s.cluster}`,
        text: `pgherd does nothing by itself on ${s.cluster} any more: no failover, nothing is started or stopped, until it is resumed.`,
        button: `Pause ${s.cluster}`,
      };
    case 'resume':
      return { title: `Resume ${s.cluster}`, text: `pgherd looks after ${s.cluster} again.`, button: `Resume ${s.cluster}` };
    case 'cancel':
      return { title: `Cancel what is planned on ${s.cluster}`, text: 'The planned operation is taken back.', button: 'Take it back' };
  }
}

// possible lists what makes sense for a member now. The API has the last word.
export function possible(m: Member): Action[] {
  if (m.role === 'witness') return [];
  const list: Action[] = [];
  if (m.role === 'standby' && m.state === 'streaming' && !m.drained) list.push({ kind: 'switchover', to: m.name });
  list.push({ kind: 'restart', member: m.name });
  list.push(m.drained ? { kind: 'undrain', member: m.name } : { kind: 'drain', member: m.name });
  if (m.role === 'standby') list.push({ kind: 'reinit', member: m.name });
  return list;
}

export function nameOf(a: Action): string {
  return a.kind === 'switchover' ? 'Switch over to' : a.kind[0]?.toUpperCase() + a.kind.slice(1);
}

const RANK: Record<Role, number> = { viewer: 1, operator: 2, admin: 3, member: 4 };

export function mayAct(role: Role): boolean {
  return RANK[role] >= RANK.operator;
}
