import type { Action } from './actions';
import { ms, plural, stamp } from './format';
import { Panel, Sign } from './parts';
import { percent, phases, titleOf } from './summary';
import type { Certificate, Check, Operation, Status } from './types';

export function Operations({ status, act }: { status: Status; act: (a: Action) => void }) {
  const jobs = status.members.filter((m) => m.progress);
  const op = status.operation ?? status.last_operation;
  return (
    <Panel id="operations" title="Operations">
      {!op && jobs.length === 0 && <p class="quiet">There has been no operation yet.</p>}
      {jobs.map((m) => (
        <div class="job" key={m.name}>
          <b>{m.name}</b> {m.state}: {m.progress}
          <progress max={100} value={percent(m.progress!) ?? undefined} aria-label={`${m.state} of ${m.name}`} />
        </div>
      ))}
      {op && <OperationView op={op} cancel={() => act({ kind: 'cancel' })} />}
    </Panel>
  );
}

function OperationView({ op, cancel }: { op: Operation; cancel: () => void }) {
  return (
    <article class="operation" data-id={op.id} data-phase={op.phase}>
      <h3>{titleOf(op)}</h3>
      <ol class="phases">
        {phases(op).map((p) => (
          <li key={p.name} class={p.state} aria-current={p.state === 'now' ? 'step' : undefined}>{p.name}</li>
        ))}
      </ol>
      {op.phase === 'scheduled' && op.at_ms && (
        <p>Planned for {stamp(op.at_ms)}. <button data-action="cancel" onClick={cancel}>Cancel…</button></p>
      )}
      {op.text && <p>{op.text}</p>}
      {op.checks && op.checks.length > 0 && (
        <details><summary>{plural(op.checks.length, 'check')}, {op.checks.filter((c) => !c.ok).length || 'none'} failed</summary><Checks checks={op.checks} /></details>
      )}
      {op.phase === 'done' && op.certificate?.shutdown && <Proof proof={op.certificate} />}
      <p class="quiet">{op.id}{op.by && `, by ${op.by}`}</p>
    </article>
  );
}

export function Checks({ checks }: { checks: Check[] }) {
  return (
    <ul class="checks">
      {checks.map((c) => (
        <li key={c.member + c.check} data-ok={String(c.ok)}>
          <Sign severity={c.ok ? 'good' : 'error'} /> <span><b>{c.member}</b> {c.check.replaceAll('_', ' ')}: {c.text}</span>
        </li>
      ))}
    </ul>
  );
}

// Proof is a switchover's certificate: what it took, and that nothing was lost.
function Proof({ proof }: { proof: Certificate }) {
  const held = proof.poolers ?? [];
  const clients = held.reduce((n, p) => n + p.clients, 0);
  const dropped = held.reduce((n, p) => n + (p.errors ?? 0), 0);
  return (
    <dl class="facts">
      <dt>Commits lost</dt><dd>0</dd>
      <dt>Stop</dt><dd>{ms(proof.stop_ms)}</dd>
      <dt>Promotion</dt><dd>{ms(proof.promote_ms)}</dd>
      {held.length > 0 && <><dt>Clients held</dt><dd>{clients}, at most {ms(Math.max(...held.map((p) => p.held_ms ?? 0)))}, {dropped} dropped</dd></>}
    </dl>
  );
}
