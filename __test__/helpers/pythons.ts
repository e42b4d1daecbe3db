/** Every Python of this machine; those that are missing make skipped tests with their name. */
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
// @ts-expect-error plain JavaScript, shared with scripts/test.mjs
import { FREE_THREADED } from '../../scripts/free-threaded.mjs'
// @ts-expect-error plain JavaScript, shared with scripts/test.mjs
import { findPythons, MINORS } from '../../scripts/pythons.mjs'
import { Child, PROGRAM } from './cli.js'

export interface Python {
  /** `3.12` */
  version: string
  /** `t` without the GIL, `d` a debug build */
  abi: string
  name: string
  command: string
  args: string[]
  /** In a folder of its own, entered by chroot. */
  sid: boolean
}

export const PYTHONS: Python[] = findPythons()

/** One test for each Python here, and a skipped one for each version that is missing. */
export function eachPython(
  title: string,
  body: (t: ExecutionContext, python: Python) => Promise<void>,
): void {
  for (const python of PYTHONS) test.serial(`${title}: ${python.name}`, (t) => body(t, python))
  for (const minor of MINORS as number[]) {
    if (!PYTHONS.some(({ version }) => version === `3.${minor}`))
      test.skip(`${title}: CPython 3.${minor}`, () => {})
  }
  for (const { version } of FREE_THREADED as { version: string }[]) {
    if (!PYTHONS.some((python) => python.version + python.abi === version))
      test.skip(`${title}: CPython ${version}`, () => {})
  }
}

/** The command line of fixtures/program.py. Its text is passed on, because chroot cannot see the file. */
export function program(python: Python, ...args: string[]): [string, ...string[]] {
  return [python.command, ...python.args, '-c', readFileSync(PROGRAM, 'utf8'), ...args]
}

/** A running fixtures/program.py that has said `ready`. */
export async function start(t: ExecutionContext, python: Python, ...args: string[]): Promise<Child> {
  const [command, ...rest] = program(python, ...args)
  const child = new Child(t, command, rest, {})
  await child.says('ready')
  return child
}
