// What the system prefers, dark or light. Chromium tells the listeners of a change only when it finds, at the next frame,
// that `matches` is not what it last gave: to read it between the change and that frame is to lose the event. A page
// that reads it whenever it renders therefore misses changes. So it is read once, and from then on what is told counts.

type Media = Pick<MediaQueryList, 'matches' | 'addEventListener' | 'removeEventListener'>;

export class Preference {
  private is: boolean;

  constructor(private media: Media) {
    this.is = media.matches;
    media.addEventListener('change', (e) => (this.is = e.matches));
  }

  matches(): boolean {
    return this.is;
  }

  // follow calls f after each change, until what it returns is called.
  follow(f: () => void): () => void {
    this.media.addEventListener('change', f);
    return () => this.media.removeEventListener('change', f);
  }
}
