// As much of Node's own types as the tests use: a package of them would be the largest dependency.
declare module 'node:test' {
  export function test(name: string, f: () => void | Promise<void>): void;
}
declare module 'node:assert/strict' {
  const assert: {
    equal(is: unknown, should: unknown, text?: string): void;
    deepEqual(is: unknown, should: unknown, text?: string): void;
    ok(is: unknown, text?: string): void;
  };
  export default assert;
}
