import type { Action } from './actions';
import type { Cluster } from './cluster';
import { clock } from './format';
import { Mark, Sign } from './parts';
import { headline } from './summary';
import type { Theme } from './theme';
import type { Self } from './types';

interface Props {
  cluster: Cluster;
  self: Self;
  stale: boolean;
  theme: Theme;
  toggle: () => void;
  leave: () => void;
  act: (a: Action) => void;
}

export function TopBar({ cluster, self, stale, theme, toggle, leave, act }: Props) {
  const s = cluster.status;
  const head = s && headline(s);
  const live = cluster.connected && !stale;
  return (
    <header class="top">
      <h1><Mark /> <span id="cluster-name">{s?.cluster ?? 'pgherd'}</span></h1>
      {head && (
        <p class={'headline ' + head.severity} id="headline" role="status">
          <Sign severity={head.severity} /> {head.text}
        </p>
      )}
      <span class={'pulse ' + (live ? 'live' : 'off')} id="live">{live ? `live from ${self.on}` : 'not live'}</span>
      <nav class="top-actions" aria-label="Cluster and session">
        {s && (
          <>
            <button data-action="switchover" onClick={() => act({ kind: 'switchover', to: '' })}>Switchover…</button>
            <button data-action={s.paused ? 'resume' : 'pause'} onClick={() => act({ kind: s.paused ? 'resume' : 'pause' })}>{s.paused ? 'Resume…' : 'Pause…'}</button>
          </>
        )}
        <button id="theme" onClick={toggle} aria-label={`Use the ${theme === 'dark' ? 'light' : 'dark'} theme`} title="Theme">
          {theme === 'dark' ? '☀' : '☾'}
        </button>
        <button onClick={leave} title={`${self.name}, ${self.role}`} id="logout">Log out</button>
      </nav>
    </header>
  );
}

// Stale says how old what is shown is, and where else to look.
export function Stale({ cluster, stale, now, on }: { cluster: Cluster; stale: boolean; now: number; on: string }) {
  if (!stale) return null;
  const others = cluster.status?.members.filter((m) => m.name !== on) ?? [];
  return (
    <div class="banner" role="alert" id="stale">
      <strong>Not live.</strong> The last word of {on} is of {clock(cluster.heardAt)}, {Math.round((now - cluster.heardAt) / 1000)} s
      ago. It is tried again by itself.
      {others.length > 0 && (
        <>
          {' '}Others: {others.map((m) => <a key={m.name} href={`https://${m.api}/ui/`} rel="noreferrer">{m.name}</a>)}
        </>
      )}
    </div>
  );
}
