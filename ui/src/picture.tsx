import { useEffect, useRef, useState } from 'preact/hooks';
import { plural, short } from './format';
import { CARD, confirms, labelOf, picture, type Card, type Edge } from './layout';
import type { Endpoint, Member, Status } from './types';

// ClusterPicture draws who is primary, who follows whom, and through what clients come. Each member opens its details.
export function ClusterPicture({ status, show }: { status: Status; show: (member: string) => void }) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const watch = new ResizeObserver((entries) => setWidth(Math.floor(entries[0]!.contentRect.width)));
    watch.observe(frame.current!);
    return () => watch.disconnect();
  }, []);
  const p = picture(status, Math.max(width, CARD.width));
  return (
    <div class="picture" ref={frame}>
      {width > 0 && (
        <svg width={p.width} height={p.height} viewBox={`0 0 ${p.width} ${p.height}`} role="group" aria-label="Picture of the cluster">
          <defs>
            <marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="10" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">
              <path d="M0 0L8 4L0 8z" />
            </marker>
          </defs>
          {p.edges.map((e) => <EdgeView key={e.key} edge={e} />)}
          {p.cards.map((c) => (c.member ? <MemberCard key={c.key} card={c} m={c.member} status={status} show={show} /> : <PoolerCard key={c.key} card={c} e={c.pooler!} />))}
        </svg>
      )}
      <ul class="legend" aria-hidden="true">
        <li class="confirms">confirms commits</li>
        <li class="streams">follows</li>
        <li class="broken">does not stream</li>
        {status.endpoints && <li class="clients">clients</li>}
      </ul>
    </div>
  );
}

function EdgeView({ edge }: { edge: Edge }) {
  return (
    <g class={'edge ' + edge.kind} data-edge={edge.key}>
      <path d={edge.path} marker-end="url(#arrow)" />
      {edge.label && <text x={edge.labelX + 8} y={edge.labelY}>{edge.label}</text>}
    </g>
  );
}

// Role and state are classes of each shape and not of their group: Chromium 156 was seen not to restyle the shapes of a group
// whose class had changed, so a new primary kept a standby's colours.
function MemberCard({ card, m, status, show }: { card: Card; m: Member; status: Status; show: (name: string) => void }) {
  const marks = [confirms(status, m.name) && 'confirms', m.voter && 'votes', m.drained && 'drained'].filter(Boolean).join(' · ');
  const open = () => show(m.name);
  const label = `${m.name}, ${m.role}, ${m.state}${m.role === 'standby' ? ', ' + labelOf(m) : ''}${marks ? ', ' + marks : ''}. Details`;
  return (
    <g
      class="node" transform={`translate(${card.x} ${card.y})`} role="button" tabindex={0} aria-label={label}
      data-member={m.name} data-role={m.role} data-state={m.state} onClick={open}
      onKeyDown={(e) => (e.key === 'Enter' || e.key === ' ') && (e.preventDefault(), open())}
    >
      <rect class={`box ${m.role} ${m.state}`} width={CARD.width} height={CARD.height} rx={8} />
      <rect class={`stripe ${m.role} ${m.state}`} width={5} height={CARD.height - 16} y={8} rx={2} />
      <text class="name" x={16} y={22}>{short(m.name, 9)}</text>
      <text class="role" x={CARD.width - 12} y={22} text-anchor="end">{m.role}</text>
      <circle class={`dot ${m.state}`} cx={20} cy={39} r={4} />
      <text x={30} y={43}>{m.state}{m.role !== 'witness' && m.timeline ? ` · tl ${m.timeline}` : ''}</text>
      <text class="quiet" x={16} y={63}>{marks || (m.role === 'witness' ? 'holds no data' : m.lsn)}</text>
    </g>
  );
}

function PoolerCard({ card, e }: { card: Card; e: Endpoint }) {
  const reads = e.readers.length ? 'reads ' + e.readers.join(', ') : 'readers wait';
  return (
    <g class="pooler" transform={`translate(${card.x} ${card.y})`} role="img" data-pooler={e.name} data-clients={e.clients}
      aria-label={`Pooler of ${e.name}: ${plural(e.clients, 'client')}, writes go to ${e.target || 'nobody: clients wait'}, ${reads}${e.text ? ', ' + e.text : ''}`}>
      <rect class={e.text ? 'box warned' : 'box'} width={CARD.width} height={CARD.height} rx={38} />
      <text class="name" x={CARD.width / 2} y={24} text-anchor="middle">{plural(e.clients, 'client')}</text>
      <text x={CARD.width / 2} y={43} text-anchor="middle">pooler of {short(e.name, 10)}</text>
      <text class="quiet" x={CARD.width / 2} y={61} text-anchor="middle">{short(e.text || (e.target ? reads : 'clients wait'), 19)}</text>
    </g>
  );
}
