// Server-sent events read by hand: EventSource cannot send a header, so it could not show the token.

export interface ServerEvent {
  name: string;
  data: string;
}

// parser takes the stream's text in pieces, cut anywhere, and gives the events that are whole. Comments are nothing.
export function parser(): (text: string) => ServerEvent[] {
  let rest = '';
  return (text) => {
    const blocks = (rest + text).split('\n\n');
    rest = blocks.pop() ?? '';
    return blocks.map(read).filter((e) => e.data !== '');
  };
}

function read(block: string): ServerEvent {
  const e = { name: 'message', data: '' };
  for (const line of block.split('\n')) {
    const at = line.indexOf(': ');
    if (at < 1) continue;
    const value = line.slice(at + 2);
    if (line.slice(0, at) === 'event') e.name = value;
    if (line.slice(0, at) === 'data') e.data += value;
  }
  return e;
}
