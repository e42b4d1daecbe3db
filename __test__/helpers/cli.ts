/** The command line as a child process. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const FAKE = fileURLToPath(new URL('../fixtures/fake-binding.cjs', import.meta.url))

export const PROGRAM = fileURLToPath(new URL('../fixtures/program.py', import.meta.url))

export interface Result {
  status: number | null
  signal: string | null
  stdout: string
  stderr: string
}

/** A process that is killed when its test ends, however it ends. */
export class Child {
  readonly process: ChildProcessWithoutNullStreams
  readonly done: Promise<Result>
  stdout = ''
  stderr = ''
  readonly #seen = new Set<() => void>()

  constructor(
    t: ExecutionContext,
    command: string,
    args: string[],
    options: { env?: NodeJS.ProcessEnv; cwd?: string },
  ) {
    this.process = spawn(command, args, { ...options, detached: true })
    this.process.stdout.on('data', (chunk) => this.#add('stdout', chunk))
    this.process.stderr.on('data', (chunk) => this.#add('stderr', chunk))
    this.process.stdin.on('error', () => {})
    this.done = new Promise((resolve, reject) => {
      this.process.on('error', reject)
      this.process.on('close', (status, signal) => {
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr })
        for (const check of this.#seen) check()
      })
    })
    t.teardown(() => {
      try {
        // Its group: a program that it launched must not stay either.
        process.kill(-this.process.pid!, 'SIGKILL')
      } catch {}
    })
  }

  /** Waits until `text` was written. */
  async says(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const check = () => {
        if (this.stdout.includes(text) || this.stderr.includes(text)) resolve()
        else if (this.process.exitCode !== null || this.process.signalCode !== null) {
          reject(new Error(`ended without saying ${text}: ${this.stdout}${this.stderr}`))
        } else return
        this.#seen.delete(check)
      }
      this.#seen.add(check)
      check()
    })
  }

  #add(stream: 'stdout' | 'stderr', chunk: Buffer): void {
    this[stream] += chunk.toString()
    for (const check of this.#seen) check()
  }
}

/** With the real addon. */
export function cli(
  t: ExecutionContext,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Child {
  return new Child(t, process.execPath, [MAIN, ...args], options)
}

/** With a fake addon; see fixtures/fake-binding.cjs. */
export function fakeCli(t: ExecutionContext, args: string[], fake: object, cwd?: string): Child {
  const env = {
    ...process.env,
    NAPI_RS_NATIVE_LIBRARY_PATH: FAKE,
    PYPROF_FAKE: JSON.stringify(fake),
    PYPROF_FAKE_READY: '1',
  }
  return cli(t, args, { env, ...(cwd === undefined ? {} : { cwd }) })
}

export function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'pyprof-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
