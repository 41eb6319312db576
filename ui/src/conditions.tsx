import { ago } from './format';
import { Panel, Sign, Words } from './parts';
import { attention } from './summary';
import type { Status } from './types';

export function Conditions({ status, now }: { status: Status; now: number }) {
  const list = attention(status);
  return (
    <Panel id="conditions" title="Conditions" aside={list.length > 0 && <span class="count">{list.length}</span>}>
      {list.length === 0 && <p><Sign severity="good" /> No conditions: nothing needs attention.</p>}
      <ul class="conditions" aria-live="polite">
        {list.map((c) => (
          <li key={c.code + c.member + c.text} class={c.severity} data-code={c.code}>
            <Sign severity={c.severity} />
            <div>
              <div>{c.member && <b>{c.member}: </b>}{c.text}</div>
              {c.hint && <div class="hint"><b>To do:</b> <Words text={c.hint} /></div>}
              <div class="quiet">{c.code} {ago(c.since, now)}</div>
            </div>
          </li>
        ))}
      </ul>
    </Panel>
  );
}
