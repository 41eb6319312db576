import { useState } from 'preact/hooks';
import type { Action } from './actions';
import { Charts } from './charts';
import { isStale, useCluster, useNow } from './cluster';
import { Conditions } from './conditions';
import { Confirm } from './confirm';
import { MemberDialog, Members } from './members';
import { Operations } from './operations';
import { Panel } from './parts';
import { ClusterPicture } from './picture';
import { quorum, votes } from './summary';
import { Timeline } from './timeline';
import { Stale, TopBar } from './topbar';
import { useTheme } from './theme';
import { WhatIf } from './whatif';
import type { Problem, Self } from './types';

export function Dashboard({ self, leave }: { self: Self; leave: (p: Problem | null) => void }) {
  const cluster = useCluster(leave);
  const now = useNow();
  const [theme, toggle] = useTheme();
  const [action, setAction] = useState<Action | null>(null);
  const [shown, setShown] = useState('');
  const s = cluster.status;
  const stale = isStale(cluster, now);
  const member = s?.members.find((m) => m.name === shown);
  const act = (a: Action) => {
    setShown('');
    setAction(a);
  };
  return (
    <>
      <TopBar {...{ cluster, self, stale, theme, toggle }} leave={() => leave(null)} act={act} />
      <main class={stale ? 'stale' : ''}>
        <Stale {...{ cluster, now, stale }} on={self.on} />
        {!s ? (
          <p role="status" class="card">Waiting for the first word of {self.on}…</p>
        ) : (
          <div class="grid">
            <div class="column">
              <Panel id="picture" title="Cluster" aside={<span class="quiet">term {s.term}</span>}>
                <ClusterPicture status={s} show={setShown} />
                <p class="quiet" id="quorum">{quorum(s)}. {votes(s)}.</p>
              </Panel>
              <Charts samples={cluster.samples} theme={theme} />
            </div>
            <div class="column">
              <Conditions status={s} now={now} />
              <Operations status={s} act={act} />
              <Timeline events={cluster.events} missing={cluster.missing} members={s.members.map((m) => m.name)} />
            </div>
            <Members status={s} act={act} show={setShown} />
            <WhatIf status={s} />
          </div>
        )}
      </main>
      {s && action && <Confirm key={JSON.stringify(action)} action={action} status={s} self={self} close={() => setAction(null)} />}
      {s && member && <MemberDialog member={member} status={s} act={act} close={() => setShown('')} />}
    </>
  );
}
