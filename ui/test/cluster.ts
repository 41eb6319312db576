import type { Member, Status } from '../src/types';

export function member(name: string, more: Partial<Member> = {}): Member {
  const standby: Member = {
    name, role: 'standby', state: 'streaming', timeline: 2, lsn: '0/5000000', lag_bytes: 0, address: '10.0.0.1', port: 5432,
    api: '10.0.0.1:7432', follows: 'n1', conditions: [],
  };
  return { ...standby, ...more };
}

export function status(more: Partial<Status> = {}): Status {
  return {
    cluster: 'main', id: 'x', term: 4, at: '2026-11-28T09:00:00Z', conditions: [], sync: { members: ['n2'], k: 1 },
    members: [member('n1', { role: 'primary', state: 'running', follows: '' }), member('n2'), member('n3')],
    ...more,
  };
}
