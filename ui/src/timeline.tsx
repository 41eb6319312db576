import { useState } from 'preact/hooks';
import { filtered, keyOf, told, type Filter } from './events';
import { clock, stamp } from './format';
import { Panel, Sign } from './parts';
import type { JournalEvent } from './types';

const SHOWN = 60;

interface Props {
  events: JournalEvent[];
  missing: string[];
  members: string[];
}

export function Timeline({ events, missing, members }: Props) {
  const [filter, setFilter] = useState<Filter>('all');
  const [member, setMember] = useState('');
  const [count, setCount] = useState(SHOWN);
  const list = filtered(events, filter, member);
  const choice = (
    <span class="choices">
      <label>Show <select value={filter} onChange={(e) => setFilter(e.currentTarget.value as Filter)}>
        <option value="all">all</option>
        <option value="warnings">warnings</option>
      </select></label>
      <label>of <select value={member} onChange={(e) => setMember(e.currentTarget.value)}>
        <option value="">all members</option>
        {members.map((m) => <option key={m} value={m}>{m}</option>)}
      </select></label>
    </span>
  );
  return (
    <Panel id="timeline" title="Timeline" aside={choice}>
      {missing.length > 0 && <p class="quiet">Events of {missing.join(', ')} are missing: no answer.</p>}
      <ol class="events" tabIndex={0} aria-label="Events, newest first">
        {list.slice(0, count).map((e) => (
          <li key={keyOf(e)} class={e.severity} data-code={e.code} data-at={e.at}>
            <time dateTime={e.at} title={stamp(e.at)}>{clock(e.at)}</time>
            <span class="who">{e.shared ? 'cluster' : e.member}</span>
            <Sign severity={e.severity} />
            <span class="what"><b>{told(e).what}</b> {told(e).why}</span>
          </li>
        ))}
      </ol>
      {list.length === 0 && <p class="quiet">No events yet.</p>}
      {list.length > count && <button onClick={() => setCount(count + SHOWN)}>Show older</button>}
    </Panel>
  );
}
