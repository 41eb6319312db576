import assert from 'node:assert/strict';
import { test } from 'node:test';
import { add, commit, lag, position, rate, sampleOf, sessions, type Sample } from '../src/samples';
import { member, status } from './cluster';

const at = (second: number, lsn: string, primary = 'n1'): Sample =>
  sampleOf(status({
    at: new Date(Date.UTC(2026, 10, 28, 9, 0, second)).toISOString(),
    members: [member(primary, { role: 'primary', state: 'running', lsn, commit_ms: 1.5, sessions: 7 }), member('n2', { lag_bytes: 100 * second })],
  }));

test('an LSN is a number of bytes', () => {
  assert.equal(position('0/10'), 16);
  assert.equal(position('1/0'), 2 ** 32);
  assert.ok(Number.isNaN(position('0/0')) && Number.isNaN(position('')));
});

test('WAL per second, with a gap where another leads', () => {
  const list = [at(0, '0/1000'), at(2, '0/2000'), at(3, '0/9000', 'n3'), at(4, '0/9100', 'n3')];
  assert.deepEqual(rate(list)[0]!.values, [null, 2048, null, 256]);
});

test('a primary that is not ready has no numbers', () => {
  const s = sampleOf(status({ members: [member('n1', { role: 'primary', state: 'starting', commit_ms: 9 })] }));
  assert.equal(s.commit, null);
  assert.equal(s.primary, '');
});

test('one series for each member, with gaps where it was not heard', () => {
  const silent = sampleOf(status({ at: '2026-11-28T09:00:09Z', members: [member('n2', { state: 'unreachable' })] }));
  const list = [at(1, '0/1'), silent];
  assert.deepEqual(lag(list), [{ label: 'n2', values: [100, null] }]);
  assert.deepEqual(sessions(list).map((s) => s.label), ['n1', 'n2']);
  assert.deepEqual(commit(list)[0]!.values, [1.5, null]);
});

test('times grow, and the list stays short', () => {
  let list: Sample[] = [];
  for (let i = 0; i < 1000; i++) list = add(list, at(i, '0/1'));
  assert.equal(list.length, 900);
  assert.equal(add(list, at(0, '0/1')), list);
  const last = list[list.length - 1]!;
  assert.equal(add(list, { ...last, at: last.at + 0.1 }), list);
});
