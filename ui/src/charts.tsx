import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { bytes, ms } from './format';
import { Panel } from './parts';
import { commit, lag, newest, rate, sessions, times, type Sample, type Series } from './samples';

const HEIGHT = 150;
const COLORS = ['--c1', '--c2', '--c3', '--c4', '--c5', '--c6'];

const CHARTS = [
  { id: 'lag', title: 'Lag', series: lag, text: bytes },
  { id: 'rate', title: 'WAL written per second', series: rate, text: bytes },
  { id: 'commit', title: 'Latency of a commit', series: commit, text: ms },
  { id: 'sessions', title: 'Connections', series: sessions, text: (n: number | null) => (n === null ? 'not known' : String(n)) },
];

// Charts show what came since the page was opened: nothing is kept on the member.
export function Charts({ samples, theme }: { samples: Sample[]; theme: string }) {
  return (
    <Panel id="charts" title="Over time" aside={<span class="quiet">since this page was opened</span>}>
      <div class="charts">
        {CHARTS.map((c) => <Chart key={c.id} id={c.id} title={c.title} text={c.text} times={times(samples)} series={c.series(samples)} theme={theme} />)}
      </div>
    </Panel>
  );
}

interface Props {
  id: string;
  title: string;
  times: number[];
  series: Series[];
  text: (n: number | null) => string;
  theme: string;
}

function Chart({ id, title, times, series, text, theme }: Props) {
  const at = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const names = series.map((s) => s.label).join(' ');
  const data = [times, ...series.map((s) => s.values)] as uPlot.AlignedData;
  useEffect(() => {
    const frame = at.current!;
    const made = new uPlot(options(frame.clientWidth, series, text), data, frame);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: frame.clientWidth, height: HEIGHT }));
    watch.observe(frame);
    return () => {
      watch.disconnect();
      made.destroy();
    };
  }, [names, theme]);
  useEffect(() => plot.current?.setData(data), [times.length, times[times.length - 1]]);
  const now = series.map((s) => ({ label: s.label, value: newest(s) }));
  return (
    <figure class="chart" id={'chart-' + id}>
      <figcaption>
        <b>{title}</b>
        <ul>
          {now.map((n, i) => (
            <li key={n.label} data-series={n.label} data-value={n.value}><i class={'key k' + (i % COLORS.length)} />{series.length > 1 || id === 'lag' ? n.label + ' ' : ''}{n.value === null ? '–' : text(n.value)}</li>
          ))}
        </ul>
      </figcaption>
      <div ref={at} role="img" aria-label={`${title}: ${now.map((n) => `${n.label} ${text(n.value)}`).join(', ') || 'no values yet'}`} />
    </figure>
  );
}

function options(width: number, series: Series[], text: (n: number | null) => string): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const color = (name: string) => css.getPropertyValue(name).trim();
  const axis = { stroke: color('--quiet'), font: '11px system-ui', grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_u, _min, max) => [0, Math.max(max ?? 0, 1) * 1.1] } },
    axes: [
      { ...axis, space: 70, size: 24, values: '{HH}:{mm}:{ss}' },
      { ...axis, size: 58, splits: undefined, values: (_u, all) => all.map((n) => text(n)) },
    ],
    series: [{}, ...series.map((s, i) => ({ label: s.label, stroke: color(COLORS[i % COLORS.length]!), width: 1.5, spanGaps: false, points: { show: false } }))],
  };
}
