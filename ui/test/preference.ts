import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Preference } from '../src/preference';

// As Chromium does it: who reads `matches` takes the change away from the listeners.
class Media {
  private last = false;
  private set = new Set<(e: { matches: boolean }) => void>();
  system = false;

  get matches(): boolean {
    return (this.last = this.system);
  }
  addEventListener(_: string, f: (e: { matches: boolean }) => void): void {
    this.set.add(f);
  }
  removeEventListener(_: string, f: (e: { matches: boolean }) => void): void {
    this.set.delete(f);
  }
  frame(): void {
    if (this.last === this.system) return;
    this.last = this.system;
    this.set.forEach((f) => f({ matches: this.system }));
  }
}

test('a change is seen, also by a page that renders meanwhile', () => {
  const media = new Media();
  const p = new Preference(media as unknown as MediaQueryList);
  const told: boolean[] = [];
  const end = p.follow(() => told.push(p.matches()));
  for (const dark of [true, false, true]) {
    media.system = dark;
    p.matches(); // a render before the next frame
    media.frame();
    assert.equal(p.matches(), dark);
  }
  end();
  media.system = false;
  media.frame();
  assert.deepEqual(told, [true, false, true]);
  assert.equal(p.matches(), false);
});
