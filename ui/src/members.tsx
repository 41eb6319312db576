import { useEffect, useState } from 'preact/hooks';
import { nameOf, possible, type Action } from './actions';
import { asProblem, call } from './api';
import { Dialog } from './dialog';
import { bytes, clock, ms } from './format';
import { labelOf } from './layout';
import { Panel, Refused } from './parts';
import type { Explanation, Member, Problem, Status } from './types';

interface Props {
  status: Status;
  act: (a: Action) => void;
  show: (member: string) => void;
}

export function Members({ status, act, show }: Props) {
  return (
    <Panel id="members" title="Members">
      <table class="members">
        <thead><tr><th>Member</th><th>Role</th><th>State</th><th>Lag</th><th>Sessions</th><th>Position</th><th>Actions</th></tr></thead>
        <tbody>
          {status.members.map((m) => (
            <tr key={m.name} data-row={m.name}>
              <th scope="row"><button class="link" onClick={() => show(m.name)}>{m.name}</button></th>
              <td data-label="Role">{m.role}{m.drained ? ', drained' : ''}</td>
              <td data-label="State">{m.state}{m.progress ? ' ' + m.progress : ''}</td>
              <td data-label="Lag">{m.role === 'standby' ? bytes(m.lag_bytes) : '–'}</td>
              <td data-label="Sessions">{m.role === 'witness' ? '–' : `${m.sessions ?? 0}${m.sessions_max ? ' of ' + m.sessions_max : ''}`}</td>
              <td data-label="Position" class="mono">{m.timeline ? `${m.timeline} · ${m.lsn}` : '–'}</td>
              <td class="actions"><div class="row-actions"><Actions m={m} act={act} /></div></td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}

function Actions({ m, act }: { m: Member; act: (a: Action) => void }) {
  return (
    <>
      {possible(m).map((a) => (
        <button key={a.kind} data-action={`${a.kind} ${m.name}`} onClick={() => act(a)} aria-label={`${nameOf(a)} ${m.name}`}>{nameOf(a)}…</button>
      ))}
    </>
  );
}

// MemberDialog shows one member whole, and why its agent did, or did not do, what it last decided.
export function MemberDialog({ member: m, status, act, close }: { member: Member; status: Status; act: (a: Action) => void; close: () => void }) {
  const [why, setWhy] = useState<Explanation | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    call<Explanation[]>('GET', '/v1/explain?member=' + encodeURIComponent(m.name))
      .then((list) => setWhy(list[0] ?? null))
      .catch((err) => setProblem(asProblem(err)));
  }, [m.name, m.state, m.role, status.term]);
  return (
    <Dialog title={`${m.name}: ${m.role}, ${m.state}`} close={close}>
      <dl class="facts">
        <dt>PostgreSQL</dt><dd>{m.port ? `${m.address}:${m.port}` : 'none: a witness'}</dd>
        <dt>API</dt><dd>{m.api}</dd>
        {m.role === 'standby' && <><dt>Follows</dt><dd>{m.follows || 'nobody'}, {labelOf(m)}</dd></>}
        {m.commit_ms ? <><dt>A commit takes</dt><dd>{ms(m.commit_ms)}</dd></> : null}
        <dt>Votes</dt><dd>{m.voter ? 'yes' : 'no'}</dd>
        {m.pending?.length ? <><dt>Waits for a restart</dt><dd>{m.pending.join(', ')}</dd></> : null}
      </dl>
      <h3>Its last decision, and why</h3>
      {problem && <Refused problem={problem} />}
      {why && (why.unreachable ? <p>It does not answer.</p> : <Decision why={why} />)}
      <p class="row-actions"><Actions m={m} act={act} /></p>
    </Dialog>
  );
}

function Decision({ why }: { why: Explanation }) {
  const d = why.decision;
  const lines = [
    ...(d.steps ?? []).map((s) => ({ head: s.step.replaceAll('_', ' '), code: s.why.code, text: s.why.text })),
    ...(d.reasons ?? []).map((r) => ({ head: '', code: r.code, text: r.text })),
  ];
  return (
    <>
      <ul class="reasons">
        {lines.map((l) => <li key={l.head + l.code + l.text}>{l.head && <b>{l.head}: </b>}{l.text} <span class="quiet">{l.code}</span></li>)}
        {lines.length === 0 && <li>Nothing is to be done.</li>}
        {d.failed && <li class="error">failed: {d.failed}</li>}
      </ul>
      <p class="quiet">as of {clock(d.at)}</p>
    </>
  );
}
